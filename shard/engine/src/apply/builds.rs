//! The builds of the workers that have run a workflow, as its events name them.

use proto::temporal::{
    common::v1::Payload,
    history::v1::{HistoryEvent, WorkflowTaskCompletedEventAttributes, WorkflowTaskStartedEventAttributes},
    workflow::v1::ResetPointInfo,
};

use crate::run::Run;

/// The search attribute that names the builds of the workers that have run a workflow.
const BUILD_IDS: &str = "BuildIds";
/// Reset points that a run remembers (reference 7).
const RESET_POINTS_MAX: usize = 20;

impl Run {
    /// Remembers which build of the worker completed its first task here: a reset may go back to it, and lists
    /// find runs by it.
    #[expect(deprecated, reason = "old SDKs send binary checksums and build ids this way")]
    pub(super) fn note_build(&mut self, a: &WorkflowTaskCompletedEventAttributes, event: &HistoryEvent) {
        let build_id = a
            .worker_version
            .as_ref()
            .map_or("", |version| version.build_id.as_str());
        self.add_build_ids(build_id);
        if a.worker_version.is_some() {
            build_id.clone_into(&mut self.state.last_build_id);
        }
        let points = &mut self.state.reset_points.get_or_insert_default().points;
        let known = points
            .iter()
            .any(|p| p.build_id == build_id && p.binary_checksum == a.binary_checksum);
        if known {
            return;
        }
        points.push(ResetPointInfo {
            build_id: build_id.to_owned(),
            binary_checksum: a.binary_checksum.clone(),
            run_id: self.state.run_id.clone(),
            first_workflow_task_completed_id: event.event_id,
            create_time: event.event_time,
            resettable: self.state.children.is_empty(),
            ..Default::default()
        });
        let surplus = points.len().saturating_sub(RESET_POINTS_MAX);
        points.drain(..surplus);
    }

    fn add_build_ids(&mut self, build_id: &str) {
        let attributes = self.state.search_attributes.get_or_insert_default();
        let known = attributes
            .indexed_fields
            .get(BUILD_IDS)
            .map(|payload| payload.data.clone())
            .unwrap_or_default();
        let known = std::str::from_utf8(&known).unwrap_or_default();
        let mut ids: Vec<String> = known
            .trim_matches(['[', ']'])
            .split(',')
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect();
        let mut add = |id: String| {
            if !ids.contains(&id) {
                ids.push(id);
            }
        };
        add("\"unversioned\"".to_owned());
        if !build_id.is_empty() && !build_id.contains(['"', '\\', ',']) {
            add(format!("\"unversioned:{build_id}\""));
        }
        let payload = Payload {
            metadata: [
                ("encoding".to_owned(), b"json/plain".to_vec()),
                ("type".to_owned(), b"KeywordList".to_vec()),
            ]
            .into(),
            data: format!("[{}]", ids.join(",")).into(),
            ..Default::default()
        };
        attributes.indexed_fields.insert(BUILD_IDS.to_owned(), payload);
    }
}

#[expect(deprecated, reason = "the field that tools show a worker's build by")]
pub(super) fn of_started(a: &WorkflowTaskStartedEventAttributes) -> String {
    a.worker_version
        .as_ref()
        .map(|version| version.build_id.clone())
        .unwrap_or_default()
}
