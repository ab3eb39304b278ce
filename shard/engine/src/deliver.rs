//! What a run owes to other runs. The debt is state; a delivery is only an attempt to pay it.

use proto::temporal::{common::v1::WorkflowExecution, enums::v1::ParentClosePolicy};

use crate::{
    effect::{ChildClosed, ChildStart, Delivery, DeliveryId, Message, Target},
    run::Run,
    state::{Child, ExternalCancel, ExternalSignal, Parent},
    tx::Tx,
};

impl Run {
    /// Tells whether the run owes something to another run.
    #[must_use]
    pub fn owes_delivery(&self) -> bool {
        self.debts().next().is_some()
    }

    /// Returns the first debt that is not on its way.
    pub(crate) fn next_delivery(&self) -> Option<DeliveryId> {
        self.debts().find(|id| !self.live.in_flight.contains(id))
    }

    pub(crate) fn debts(&self) -> impl Iterator<Item = DeliveryId> + '_ {
        let state = &self.state;
        let children = state.children.iter().filter_map(|(id, child)| {
            if child.first_task_owed {
                Some(DeliveryId::FirstTask(*id))
            } else if child.policy_owed {
                Some(DeliveryId::ClosePolicy(*id))
            } else if child.started_event_id == 0 {
                Some(DeliveryId::StartChild(*id))
            } else {
                None
            }
        });
        children
            .chain(state.signals_out.keys().map(|id| DeliveryId::Signal(*id)))
            .chain(state.cancels_out.keys().map(|id| DeliveryId::Cancel(*id)))
            .chain(state.report.is_some().then_some(DeliveryId::Report))
    }

    fn execution(&self) -> WorkflowExecution {
        WorkflowExecution {
            workflow_id: self.state.workflow_id.clone(),
            run_id: self.state.run_id.clone(),
        }
    }
}

impl Tx<'_> {
    /// Hands out everything that is owed and not on its way.
    pub(crate) fn deliver_owed(&mut self) {
        while let Some(id) = self.run.next_delivery() {
            let Some(delivery) = self.delivery(id) else { return };
            self.deliver(delivery);
        }
    }

    fn delivery(&self, id: DeliveryId) -> Option<Delivery> {
        let state = self.state();
        let (to, message) = match id {
            DeliveryId::StartChild(event) => self.child_start(state.children.get(&event)?),
            DeliveryId::FirstTask(event) => (child_target(state.children.get(&event)?), Message::FirstTask),
            DeliveryId::ClosePolicy(event) => self.close_policy(state.children.get(&event)?),
            DeliveryId::Signal(event) => self.external_signal(state.signals_out.get(&event)?),
            DeliveryId::Cancel(event) => self.external_cancel(state.cancels_out.get(&event)?),
            DeliveryId::Report => self.report()?,
        };
        Some(Delivery { id, to, message })
    }

    fn child_start(&self, child: &Child) -> (Target, Message) {
        let state = self.state();
        let parent = Parent {
            namespace_id: state.namespace_id.clone(),
            namespace: self.ctx.namespace.name.clone(),
            workflow_id: state.workflow_id.clone(),
            run_id: state.run_id.clone(),
            initiated_event_id: child.initiated_event_id,
        };
        let root = WorkflowExecution {
            workflow_id: state.root_workflow_id.clone(),
            run_id: state.root_run_id.clone(),
        };
        let start = ChildStart {
            initiated_event_id: child.initiated_event_id,
            initiated_node: child.initiated_node,
            event: self.emitted(child.initiated_event_id).cloned().map(Box::new),
            parent,
            root,
            request_id: child.request_id.clone(),
            parent_priority: state.priority.clone(),
        };
        (child_target(child), Message::StartChild(Box::new(start)))
    }

    fn close_policy(&self, child: &Child) -> (Target, Message) {
        // The policy follows the child's chain: whatever run is current, if the child began the chain.
        let to = Target {
            run_id: String::new(),
            ..child_target(child)
        };
        let (from, first_run_id) = (self.run.execution(), child.started_run_id.clone());
        let message = if child.parent_close_policy() == ParentClosePolicy::RequestCancel {
            Message::CancelChild { from, first_run_id }
        } else {
            Message::TerminateChild { from, first_run_id }
        };
        (to, message)
    }

    fn external_signal(&self, signal: &ExternalSignal) -> (Target, Message) {
        let to = Target {
            namespace_id: signal.namespace_id.clone(),
            workflow_id: signal.workflow_id.clone(),
            run_id: signal.run_id.clone(),
        };
        let message = Message::Signal {
            request_id: signal.request_id.clone(),
            signal_name: signal.signal_name.clone(),
            input: signal.input.clone(),
            header: signal.header.clone(),
            child_workflow_only: signal.child_workflow_only,
            from: self.run.execution(),
            initiated_event_id: signal.initiated_event_id,
        };
        (to, message)
    }

    fn external_cancel(&self, cancel: &ExternalCancel) -> (Target, Message) {
        let to = Target {
            namespace_id: cancel.namespace_id.clone(),
            workflow_id: cancel.workflow_id.clone(),
            run_id: cancel.run_id.clone(),
        };
        let message = Message::Cancel {
            request_id: cancel.request_id.clone(),
            reason: cancel.reason.clone(),
            child_workflow_only: cancel.child_workflow_only,
            from: self.run.execution(),
            initiated_event_id: cancel.initiated_event_id,
        };
        (to, message)
    }

    fn report(&self) -> Option<(Target, Message)> {
        let state = self.state();
        let (parent, report) = (state.parent.as_ref()?, state.report.as_ref()?);
        let to = Target {
            namespace_id: parent.namespace_id.clone(),
            workflow_id: parent.workflow_id.clone(),
            run_id: parent.run_id.clone(),
        };
        let closed = ChildClosed {
            initiated_event_id: parent.initiated_event_id,
            child: self.run.execution(),
            first_run_id: state.first_run_id.clone(),
            workflow_type: state.workflow_type.clone(),
            status: report.status(),
            result: report.result.clone(),
            failure: report.failure.clone(),
            retry_state: report.retry_state,
        };
        Some((to, Message::ChildClosed(Box::new(closed))))
    }
}

fn child_target(child: &Child) -> Target {
    Target {
        namespace_id: child.namespace_id.clone(),
        workflow_id: child.workflow_id.clone(),
        run_id: child.started_run_id.clone(),
    }
}
