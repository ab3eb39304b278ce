use proptest::{collection::vec, prelude::*};

use super::{beat, boom, cancel, complete, fail, give_up, policy, schedule};
use crate::{
    rig::{Rig, seconds},
    run::Why,
    trigger::{ActivityRef, Trigger},
};

#[derive(Clone, Debug)]
enum Move {
    Begin(usize),
    Complete(usize, bool),
    Fail(usize, bool, bool),
    Cancel(usize, bool),
    Beat(usize, bool),
    RequestCancel(usize),
    RunTask,
    Pass(f64),
    Wake,
}

fn moves() -> impl Strategy<Value = Move> {
    let which = 0..ACTIVITIES;
    let flag = any::<bool>();
    prop_oneof![
        3 => which.clone().prop_map(Move::Begin),
        1 => (which.clone(), flag).prop_map(|(which, by_id)| Move::Complete(which, by_id)),
        3 => (which.clone(), flag, flag).prop_map(|(which, by_id, last)| Move::Fail(which, by_id, last)),
        1 => (which.clone(), flag).prop_map(|(which, by_id)| Move::Cancel(which, by_id)),
        2 => (which.clone(), flag).prop_map(|(which, by_id)| Move::Beat(which, by_id)),
        1 => which.prop_map(Move::RequestCancel),
        1 => Just(Move::RunTask),
        4 => (0.0..4.0).prop_map(Move::Pass),
        1 => Just(Move::Wake),
    ]
}

const ACTIVITIES: usize = 3;

fn rig(timeouts: &[(u8, u8, u8, u8, u8)]) -> Rig {
    let commands = timeouts.iter().enumerate().map(|(at, timeouts)| {
        schedule(|a| {
            a.activity_id = at.to_string();
            a.schedule_to_close_timeout = seconds(f64::from(timeouts.0));
            a.schedule_to_start_timeout = seconds(f64::from(timeouts.1));
            a.start_to_close_timeout = seconds(f64::from(timeouts.2) + 1.0);
            a.heartbeat_timeout = seconds(f64::from(timeouts.3));
            a.retry_policy = Some(policy(i32::from(timeouts.4), 0.7));
        })
    });
    let mut rig = Rig::new();
    let commands = commands.collect();
    rig.task(commands);
    rig
}

/// Makes the move if it can be made: a rejection is checked by the rig to change nothing.
fn make(rig: &mut Rig, next: &Move) {
    let id = |which: usize| i64::try_from(which).expect("small") + 5;
    let named = |rig: &Rig, which: usize, by_id: bool| {
        let activity = rig.run.state.activities.get(&id(which));
        match activity.filter(|_| !by_id) {
            None => ActivityRef::ById(which.to_string()),
            Some(activity) => ActivityRef::Token {
                scheduled_event_id: activity.scheduled_event_id,
                attempt: activity.attempt,
                started_time: activity.started_time,
            },
        }
    };
    match *next {
        Move::Begin(which) => drop(rig.begin_activity(id(which))),
        Move::Complete(which, by_id) => drop(complete(rig, named(rig, which, by_id), "out")),
        Move::Fail(which, by_id, last) => drop(fail(rig, named(rig, which, by_id), boom("broke", last))),
        Move::Cancel(which, by_id) => drop(give_up(rig, named(rig, which, by_id), "bye")),
        Move::Beat(which, by_id) => drop(beat(rig, named(rig, which, by_id), "half")),
        Move::RequestCancel(which) => {
            let known = rig.run.state.activities.get(&id(which));
            if rig.run.state.task.is_some() && known.is_some_and(|activity| !activity.cancel_requested) {
                rig.task(vec![cancel(id(which))]);
            }
        }
        Move::RunTask => {
            if rig.run.state.task.is_some() {
                rig.task(Vec::new());
            }
        }
        Move::Pass(seconds) => rig.pass(seconds),
        Move::Wake => drop(rig.send(Trigger::Wake)),
    }
}

proptest! {
    /// Whatever happens, state stays sound, and nothing that is due is ever forgotten.
    #[test]
    fn whatever_happens_activities_stay_sound(
        timeouts in vec((0..9_u8, 0..5_u8, 0..5_u8, 0..4_u8, 0..4_u8), ACTIVITIES),
        moves in vec(moves(), 0..40),
    ) {
        let mut rig = rig(&timeouts);
        for next in &moves {
            make(&mut rig, next);
        }
        rig.pass(1_000.0);
        for activity in rig.run.state.activities.values() {
            let waits_for_ever = activity.started_time == 0
                && activity.schedule_to_start_timeout == 0
                && activity.expiration == 0;
            prop_assert!(waits_for_ever, "{activity:?}");
        }
        let next = rig.run.next_deadline(true).map(|(_, why)| why);
        prop_assert!(next.is_none_or(|why| !matches!(why, Why::ActivityRetry | Why::ActivityTimeout)));
        let closed = rig.events.iter().filter(|event| {
            let name = event.event_type().as_str_name();
            name.starts_with("EVENT_TYPE_ACTIVITY_TASK_")
                && ["COMPLETED", "FAILED", "TIMED_OUT", "CANCELED"].iter().any(|end| name.ends_with(end))
        });
        prop_assert_eq!(closed.count() + rig.run.state.activities.len(), ACTIVITIES);
    }
}
