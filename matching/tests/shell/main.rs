//! The wiring of actor and handle, on one thread with paused time: what the core decides reaches who waits.

mod stand;

use std::{
    num::NonZeroUsize,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use perdure_matching::{
    config::Config,
    error::{AnswerError, AskError, QueryError},
    handle::{Ended, Notice, Polled, QueryAnswer},
    output::{Given, Refusal},
};
use proto::ids::{QueueKey, ShardId, TaskKind};

use self::stand::{START, Stand, begin, key, poller, query, run, stand, ticket, ticket_of};

#[test]
fn a_waiting_poll_gets_the_ticket() {
    run(async || {
        let stand = stand();
        let mut poll = pin!(stand.poll(60));
        begin(poll.as_mut()).await;
        stand.queue.announce(ticket(1)).expect("announced");
        assert_eq!(ticket_of(poll.await), ticket(1));
        assert_eq!(
            (
                stand.metrics.poll_success.value(),
                stand.metrics.poll_success_sync.value()
            ),
            (1, 1)
        );
    });
}

#[test]
fn a_waiting_ticket_goes_to_the_poll() {
    run(async || {
        let stand = stand();
        stand
            .queue
            .announce_all(vec![ticket(1), ticket(2)])
            .expect("announced");
        assert_eq!(ticket_of(stand.poll(60).await), ticket(1));
        stand.settle().await;
        assert_eq!(stand.metrics.approximate_backlog_count.value(), 1);
        assert_eq!(ticket_of(stand.poll(60).await), ticket(2));
        assert_eq!(
            (
                stand.metrics.poll_success.value(),
                stand.metrics.poll_success_sync.value()
            ),
            (2, 0)
        );
    });
}

#[test]
fn a_poll_ends_at_its_deadline() {
    run(async || {
        let stand = stand();
        assert_eq!(stand.poll(60).await, Ok(Polled::Empty));
        assert_eq!(stand.began.elapsed().as_secs(), 60);
        // An earlier deadline than the armed one moves the timer.
        let mut long = pin!(stand.poll(60));
        begin(long.as_mut()).await;
        assert_eq!(stand.poll(5).await, Ok(Polled::Empty));
        assert_eq!(stand.began.elapsed().as_secs(), 65);
        assert_eq!(long.await, Ok(Polled::Empty));
        assert_eq!(stand.began.elapsed().as_secs(), 120);
    });
}

#[test]
fn a_dropped_poll_is_passed_over() {
    run(async || {
        let stand = stand();
        {
            let mut gone = pin!(stand.poll(60));
            begin(gone.as_mut()).await;
            stand.settle().await;
        }
        stand.settle().await;
        assert_eq!(
            (
                stand.metrics.pending_polls.value(),
                stand.metrics.polls_cancelled.value()
            ),
            (0, 1)
        );
        stand.queue.announce(ticket(1)).expect("announced");
        assert_eq!(ticket_of(stand.poll(60).await), ticket(1));
    });
}

#[test]
fn a_poll_dropped_before_it_arrives_is_never_held() {
    run(async || {
        let stand = stand();
        {
            let mut gone = pin!(stand.poll(60));
            begin(gone.as_mut()).await;
        }
        stand.settle().await;
        assert_eq!(stand.queue.view().await.expect("alive").polls, 0);
    });
}

#[test]
fn a_ticket_given_to_a_dropped_poll_goes_to_the_next() {
    run(async || {
        let stand = stand();
        let mut next = pin!(stand.poll(60));
        {
            let mut gone = pin!(stand.poll(60));
            begin(gone.as_mut()).await;
            begin(next.as_mut()).await;
            stand.queue.announce(ticket(1)).expect("announced");
            stand.settle().await;
            // The ticket lies in the dropped poll's channel.
        }
        assert_eq!(ticket_of(next.await), ticket(1));
        assert_eq!(stand.metrics.tasks_undelivered.value(), 1);
    });
}

#[test]
fn drain_answers_all_polls_and_refuses_all_tickets() {
    run(async || {
        let mut stand = stand();
        stand.queue.announce(ticket(1)).expect("announced");
        stand.queue.drain().await.expect("alive");
        stand.queue.announce(ticket(2)).expect("announced");
        assert_eq!(stand.poll(60).await, Ok(Polled::Empty));
        assert_eq!(stand.began.elapsed(), Duration::ZERO);
        for n in 1..=2 {
            let notice = stand.notices.recv().await.expect("notice");
            assert_eq!(notice.queue, key(false));
            assert_eq!(
                notice.what,
                Notice::Refuse {
                    ticket: ticket(n),
                    why: Refusal::Draining
                }
            );
        }
        assert_eq!(
            stand.queue.query(query(), stand.after(5)).await,
            Err(QueryError::Moved)
        );
    });
    run(async || {
        let stand = stand();
        let mut poll = pin!(stand.poll(60));
        begin(poll.as_mut()).await;
        stand.queue.drain().await.expect("alive");
        assert_eq!(poll.await, Ok(Polled::Empty));
    });
}

#[test]
fn a_full_mailbox_refuses_and_loses_nothing_that_it_took() {
    run(async || {
        let config = Config {
            mailbox_messages_max: NonZeroUsize::new(4).expect("some"),
            ..Config::default()
        };
        let stand = Stand::new(false, config, 64);
        // Nobody else runs on this thread until the next await.
        let refused = (1..=9)
            .filter_map(|n| stand.queue.announce(ticket(n)).err())
            .collect::<Vec<_>>();
        assert_eq!(refused.len(), 5);
        assert!(
            refused
                .iter()
                .all(|refused| refused.why == AskError::Busy && refused.tickets.len() == 1)
        );
        let back = stand
            .queue
            .announce_all(vec![ticket(1); 3_000])
            .expect_err("full");
        assert_eq!((back.why, back.tickets.len()), (AskError::Busy, 3_000));
        assert_eq!(
            stand.queue.poll(poller(), stand.after(60)).await,
            Err(AskError::Busy)
        );
        tokio::task::yield_now().await;
        assert_eq!(stand.queue.view().await.expect("alive").tickets, 4);
    });
}

#[test]
fn shards_whose_word_found_the_mailbox_full_get_credit() {
    run(async || {
        let config = Config {
            mailbox_messages_max: NonZeroUsize::new(4).expect("some"),
            ..Config::default()
        };
        let mut stand = Stand::new(false, config, 64);
        while stand.queue.withdraw(ticket(1).id()).is_ok() {}
        stand
            .queue
            .announce_all(vec![ticket(1), ticket(2)])
            .expect_err("full");
        stand
            .queue
            .held_back(ShardId(2), 1, START)
            .expect("kept for later");
        for (shard, free) in [(ShardId(1), 2), (ShardId(2), 1)] {
            let notice = stand.notices.recv().await.expect("notice").what;
            // Half of the mailbox is the most that is promised at once.
            assert_eq!(notice, Notice::Credit { shard, free });
            stand.queue.held_back(shard, 0, START).expect("alive");
        }
    });
}

#[test]
fn a_rate_set_while_the_mailbox_is_full_is_heeded() {
    run(async || {
        let config = Config {
            mailbox_messages_max: NonZeroUsize::new(4).expect("some"),
            ..Config::default()
        };
        let key = QueueKey {
            kind: TaskKind::Activity,
            ..key(false)
        };
        let stand = Stand::of(key, config, 64);
        stand.queue.set_rate(Some(7.0));
        while stand.queue.withdraw(ticket(1).id()).is_ok() {}
        stand.queue.set_rate(Some(3.0));
        tokio::task::yield_now().await;
        assert_eq!(stand.queue.view().await.expect("alive").rate.api, Some(3.0));
    });
}

#[test]
fn a_poll_dropped_while_the_mailbox_is_full_is_noticed() {
    run(async || {
        let config = Config {
            mailbox_messages_max: NonZeroUsize::new(4).expect("some"),
            ..Config::default()
        };
        let stand = Stand::new(false, config, 64);
        {
            let mut gone = pin!(stand.poll(60));
            begin(gone.as_mut()).await;
            stand.settle().await;
            while stand.queue.withdraw(ticket(1).id()).is_ok() {}
        }
        tokio::task::yield_now().await;
        stand.settle().await;
        assert_eq!(stand.metrics.pending_polls.value(), 0);
    });
}

#[test]
fn notices_wait_in_order_while_their_channel_is_full() {
    run(async || {
        let mut stand = Stand::new(true, Config::default(), 1);
        stand
            .queue
            .announce_all((1..=9).map(ticket).collect())
            .expect("announced");
        stand.settle().await;
        for n in 1..=9 {
            let notice = stand.notices.recv().await.expect("notice").what;
            let why = Refusal::StickyWorkerUnavailable;
            assert_eq!(
                notice,
                Notice::Refuse {
                    ticket: ticket(n),
                    why
                }
            );
        }
        assert_eq!(stand.metrics.notices_dropped.value(), 0);
    });
}

#[test]
fn a_query_is_answered_once() {
    run(async || {
        let stand = stand();
        let mut poll = pin!(stand.poll(60));
        begin(poll.as_mut()).await;
        let mut asked = pin!(stand.queue.query(query(), stand.after(10)));
        begin(asked.as_mut()).await;
        let Ok(Polled::Task(give)) = poll.await else {
            panic!("no task")
        };
        let Given::Query { id, task } = give.task else {
            panic!("no query")
        };
        assert_eq!(task, query());
        assert_eq!(stand.queue.answer(id, QueryAnswer::Completed(None)).await, Ok(()));
        let again = QueryAnswer::Failed {
            message: "late".to_owned(),
            failure: None,
        };
        assert_eq!(stand.queue.answer(id, again).await, Err(AnswerError::Expired));
        assert_eq!(asked.await, Ok(QueryAnswer::Completed(None)));
        assert_eq!(stand.queue.view().await.expect("alive").queries_given, 0);
    });
}

#[test]
fn a_query_ends_when_nobody_answers_or_nobody_asks() {
    run(async || {
        let stand = stand();
        let mut poll = pin!(stand.poll(60));
        begin(poll.as_mut()).await;
        {
            let mut gone = pin!(stand.queue.query(query(), stand.after(10)));
            begin(gone.as_mut()).await;
            stand.settle().await;
        }
        let Ok(Polled::Task(give)) = poll.await else {
            panic!("no task")
        };
        let Given::Query { id, .. } = give.task else {
            panic!("no query")
        };
        assert_eq!(
            stand.queue.answer(id, QueryAnswer::Completed(None)).await,
            Err(AnswerError::Expired)
        );
        let ended = stand.queue.query(query(), stand.after(10)).await;
        assert_eq!(
            (ended, stand.began.elapsed().as_secs()),
            (Err(QueryError::Deadline), 10)
        );
    });
}

#[test]
fn an_idle_queue_says_so_and_ends_with_its_handles() {
    run(async || {
        let mut stand = stand();
        assert_eq!(
            stand.notices.recv().await.map(|notice| notice.what),
            Some(Notice::Idle)
        );
        assert_eq!(stand.began.elapsed().as_secs(), 300);
        assert_eq!(stand.metrics.loaded_task_queue_count.value(), 1);
        drop(stand.queue);
        assert_eq!(stand.ended.await, Ok(Ended::Stopped));
        assert_eq!(stand.metrics.loaded_task_queue_count.value(), 0);
    });
}

#[test]
fn a_panic_is_told_to_the_host_and_to_who_waits() {
    run(async || {
        let mut stand = stand();
        stand.queue.announce(ticket(1)).expect("announced");
        stand.settle().await;
        let mut poll = pin!(stand.queue.query(query(), stand.after(60)));
        begin(poll.as_mut()).await;
        stand.broken.store(true, SeqCst);
        assert_eq!(poll.await, Err(QueryError::Moved));
        assert_eq!((&mut stand.ended).await, Ok(Ended::Panicked));
        assert!(!stand.queue.is_alive());
        assert_eq!(stand.queue.poll(poller(), START).await, Err(AskError::Gone));
        let back = stand.queue.announce(ticket(2)).expect_err("gone");
        assert_eq!((back.why, back.tickets), (AskError::Gone, vec![ticket(2)]));
        assert_eq!(stand.metrics.approximate_backlog_count.value(), 0);
    });
}

#[test]
fn a_busy_queue_lets_its_neighbours_run() {
    run(async || {
        let stand = stand();
        let mut sent = 0;
        while stand.queue.withdraw(ticket(1).id()).is_ok() {
            sent += 1;
        }
        let busy = Arc::new(AtomicBool::new(true));
        let neighbour = actix_rt::spawn({
            let busy = Arc::clone(&busy);
            async move {
                let mut turns = 0;
                while busy.load(SeqCst) {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
                turns
            }
        });
        tokio::task::yield_now().await;
        while stand.queue.view().await.is_err() {
            tokio::task::yield_now().await;
        }
        busy.store(false, SeqCst);
        let turns = neighbour.await.expect("neighbour");
        assert!(turns >= sent / 32, "{turns} turns during {sent} messages");
    });
}
