use std::iter;

use proto::temporal::enums::v1::CommandType;

use super::*;

fn short(commands: &[Command]) -> Vec<&'static str> {
    let name = |command: &Command| {
        CommandType::try_from(command.command_type).map_or("?", |kind| kind.as_str_name())
    };
    commands
        .iter()
        .map(|command| name(command).trim_start_matches("COMMAND_TYPE_"))
        .collect()
}

/// What a step gave: the commands' types in short and the milestone.
fn check(plan: Plan, tally: &Tally, updates_now: u32) -> (Vec<&'static str>, Decision) {
    let filler = Filler::new(64);
    let context = Context {
        queue: "q",
        workflow_id: "w-7",
        number: 7,
        filler: &filler,
        eager_activities: false,
    };
    let decision = decide(plan, tally, updates_now, &context);
    (short(&decision.commands), decision)
}

/// A tally after `scheduled` activities of workflow 7, the first `completed` of which came back.
fn activities(scheduled: u32, completed: u32) -> Tally {
    let sum = (0..u64::from(completed))
        .map(|number| fingerprint(7, number))
        .fold(0, u64::wrapping_add);
    Tally {
        activities_scheduled: scheduled,
        activities_completed: completed,
        results: sum,
        ..Tally::default()
    }
}

const COMPLETE: &str = "COMPLETE_WORKFLOW_EXECUTION";
const ACTIVITY: &str = "SCHEDULE_ACTIVITY_TASK";

#[test]
fn noop_completes_at_once() {
    let (commands, decision) = check(Plan::Noop, &Tally::default(), 0);
    assert_eq!(commands, [COMPLETE]);
    assert_eq!(decision.milestone, Milestone::Closed);
}

#[test]
fn a_sequence_schedules_the_next_when_the_last_came_back() {
    let plan = Plan::Sequence { activities: 3 };
    for done in 0..3 {
        let (commands, decision) = check(plan, &activities(done, done), 0);
        assert_eq!(commands, [ACTIVITY]);
        assert_eq!(decision.milestone, Milestone::Under);
        let (commands, _) = check(plan, &activities(done + 1, done), 0);
        assert!(commands.is_empty(), "waits for the one in flight");
    }
    let (commands, decision) = check(plan, &activities(3, 3), 0);
    assert_eq!((commands, decision.wrong), (vec![COMPLETE], false));
}

#[test]
fn a_fan_schedules_all_and_waits_for_all() {
    let plan = Plan::Fan { activities: 4 };
    let (commands, _) = check(plan, &Tally::default(), 0);
    assert_eq!(commands, [ACTIVITY; 4]);
    for done in 0..4 {
        assert!(check(plan, &activities(4, done), 0).0.is_empty());
    }
    assert_eq!(check(plan, &activities(4, 4), 0).0, [COMPLETE]);
}

#[test]
fn a_lost_or_foreign_result_is_wrong() {
    let plan = Plan::Fan { activities: 2 };
    let lost = Tally {
        activities_completed: 1,
        activities_lost: 1,
        ..activities(2, 2)
    };
    assert!(check(plan, &lost, 0).1.wrong);
    let foreign = Tally {
        results: 1,
        ..activities(2, 2)
    };
    assert!(check(plan, &foreign, 0).1.wrong);
    assert!(!check(plan, &activities(2, 2), 0).1.wrong);
}

#[test]
fn signals_and_updates_are_counted() {
    let plan = Plan::Signals { count: 2 };
    let after = |signals| Tally {
        signals,
        ..Tally::default()
    };
    assert!(check(plan, &after(1), 0).0.is_empty());
    assert_eq!(check(plan, &after(2), 0).0, [COMPLETE]);
    assert!(check(plan, &after(3), 0).1.wrong, "one came twice");

    let plan = Plan::Updates { count: 2 };
    let after = |updates_completed| Tally {
        updates_completed,
        ..Tally::default()
    };
    assert!(check(plan, &after(0), 1).0.is_empty());
    assert_eq!(check(plan, &after(0), 2).0, [COMPLETE]);
    assert_eq!(check(plan, &after(1), 1).0, [COMPLETE]);
    assert!(check(plan, &after(2), 1).1.wrong);
}

#[test]
fn a_timer_starts_once_and_a_sleeper_is_asleep_when_it_did() {
    let plan = Plan::Timer { millis: 1000 };
    assert_eq!(check(plan, &Tally::default(), 0).0, ["START_TIMER"]);
    let started = Tally {
        timers_started: 1,
        ..Tally::default()
    };
    assert!(check(plan, &started, 0).0.is_empty());
    assert_eq!(
        check(
            plan,
            &Tally {
                timers_fired: 1,
                ..started
            },
            0
        )
        .0,
        [COMPLETE]
    );

    let (commands, decision) = check(
        Plan::Sleep {
            seconds: 9,
            timers: 1,
        },
        &Tally::default(),
        0,
    );
    assert_eq!(
        (commands, decision.milestone),
        (vec!["START_TIMER"], Milestone::Asleep)
    );
    assert_eq!(
        check(
            Plan::Sleep {
                seconds: 9,
                timers: 1
            },
            &started,
            0
        )
        .1
        .milestone,
        Milestone::Under
    );
}

#[test]
fn children_start_once_and_all_must_complete() {
    let plan = Plan::Children { count: 3 };
    let (commands, decision) = check(plan, &Tally::default(), 0);
    assert_eq!(commands, ["START_CHILD_WORKFLOW_EXECUTION"; 3]);
    assert_eq!(decision.milestone, Milestone::Under);
    let two = Tally {
        children_initiated: 3,
        children_completed: 2,
        ..Tally::default()
    };
    assert!(check(plan, &two, 0).0.is_empty());
    assert_eq!(
        check(
            plan,
            &Tally {
                children_completed: 3,
                ..two
            },
            0
        )
        .0,
        [COMPLETE]
    );
    assert!(
        check(
            plan,
            &Tally {
                children_lost: 1,
                ..two
            },
            0
        )
        .1
        .wrong
    );
}

#[test]
fn a_chain_counts_down_and_ends() {
    let milestones: Vec<_> = iter::successors(Some(2), |left: &u32| left.checked_sub(1))
        .map(|remaining| check(Plan::Chain { remaining }, &Tally::default(), 0).1.milestone)
        .collect();
    assert_eq!(
        milestones,
        [Milestone::Continued, Milestone::Continued, Milestone::Closed]
    );
}

#[test]
fn markers_force_task_after_task() {
    let plan = Plan::Markers { tasks: 2, each: 3 };
    let after = |markers| Tally {
        markers,
        ..Tally::default()
    };
    for markers in [0, 3] {
        let (commands, decision) = check(plan, &after(markers), 0);
        assert_eq!(
            (commands, decision.force_new_task),
            (vec!["RECORD_MARKER"; 3], true)
        );
    }
    assert_eq!(check(plan, &after(6), 0).0, [COMPLETE]);
}
