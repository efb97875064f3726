//! How accounts share the room for polls.

use super::*;

#[tokio::test(start_paused = true)]
async fn servers_that_hang_do_not_take_the_places_of_other_accounts() {
    let stuck = [Server::hanging(), Server::hanging(), Server::hanging()];
    let other = Server::new(|_| status("PENDING"));
    let [a, b, c] = &stuck;
    let servers = [("a", a, 500), ("b", b, 500), ("c", c, 500), ("d", &other, 50)];
    daemon(&servers, patient(), 600, 300).await;
    let polls = stuck.each_ref().map(|server| server.asked.borrow().len());
    let (least, most) = (polls.iter().min().unwrap(), polls.iter().max().unwrap());
    assert!(*least > 100 && most - least <= 30, "{polls:?}");
    for minute in 1..5 {
        let asked = other.asked_within(minute * 60, minute * 60 + 60);
        assert!(asked > 95, "{asked} in minute {minute}");
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_answer_slowly_do_not_hold_up_one_that_is_quick() {
    for (takes, timeout) in [(4500, 30_000), (1_000_000, 1500)] {
        let slow: Vec<_> = (0..20)
            .map(|_| {
                let server = Arc::into_inner(Server::new(|_| http(503))).unwrap();
                Arc::new(Server { takes: Duration::from_millis(takes), ..server })
            })
            .collect();
        let quick = Server::new(|_| status("PENDING"));
        let names: Vec<String> = (0..21).map(|number| format!("account {number:02}")).collect();
        let servers = slow.iter().chain([&quick]);
        let all: Vec<_> = names.iter().zip(servers).map(|(name, server)| (&**name, server, 2)).collect();
        let steady = Pace::new(Duration::from_secs(2), 1.0, Duration::from_secs(2), 0.0).unwrap();
        let request_timeout = Duration::from_millis(timeout);
        let policy = Policy { pace: steady.clone(), retry: steady, request_timeout, ..patient() };
        crowded_daemon(&all, policy, (600, 4), 1000).await;
        // From when all are known: both watches every 2 s.
        let asked = quick.asked_within(400, 1000);
        assert!(asked > 570, "{asked} where servers take {takes} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn with_more_accounts_than_room_each_has_its_turn() {
    let servers: Vec<_> = (0..6).map(|_| Server::new(|_| status("PENDING"))).collect();
    let names = ["a", "b", "c", "d", "e", "f"];
    let all: Vec<_> = names.iter().zip(&servers).map(|(name, server)| (*name, server, 3)).collect();
    crowded_daemon(&all, patient(), (6000, 4), 26).await;
    let polls: Vec<_> = servers.iter().map(|server| server.asked.borrow().len()).collect();
    let (least, most) = (polls.iter().min().unwrap(), polls.iter().max().unwrap());
    assert!(*least > 50 && most - least <= 3, "{polls:?}");
}

/// A watch of a healthy account is late by at most the time of one request, and by less than a second once the servers that
/// hang are known.
#[tokio::test(start_paused = true)]
async fn many_servers_that_hang_delay_a_healthy_one_once_at_most() {
    let hanging: Vec<_> = (0..66).map(|_| Server::hanging()).collect();
    let healthy: Vec<_> = (0..3).map(|_| Server::new(|_| status("PENDING"))).collect();
    let names: Vec<String> = (0..69).map(|number| format!("account {number:02}")).collect();
    let servers = hanging.iter().chain(&healthy);
    let all: Vec<_> = names.iter().zip(servers).map(|(name, server)| (&**name, server, 3)).collect();
    let steady = Pace::new(Duration::from_secs(10), 1.0, Duration::from_secs(10), 0.0).unwrap();
    let policy = Policy { pace: steady, ..patient() };
    crowded_daemon(&all, policy, (600, 64), 1000).await;
    for server in &healthy {
        let mut each: BTreeMap<ExportRef, Vec<Duration>> = BTreeMap::new();
        server.asked.borrow().iter().for_each(|(at, export)| each.entry(*export).or_default().push(*at));
        assert_eq!(each.len(), 3);
        for polls in each.values() {
            assert!(polls[0] <= Duration::from_secs(31), "{:?}", polls[0]);
            let latest = polls.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap();
            assert!(latest < Duration::from_secs(11), "{latest:?}");
        }
    }
    let polls = hanging.iter().map(|server| server.asked.borrow().len()).min().unwrap();
    assert!(polls > 15, "{polls}");
}

#[test]
fn a_prompt_server_answers_within_a_second_or_half_of_the_request_timeout() {
    let account = Account { name: Arc::from("default"), poller: (), requests_per_minute: None };
    let mut state = AccountState::new(account, Moment::default());
    let rows = [(30_000, 999, true), (30_000, 1000, false), (600, 299, true), (600, 300, false)];
    for (request_timeout, took, is_prompt) in rows {
        let [request_timeout, took] = [request_timeout, took].map(Duration::from_millis);
        let policy = Policy { request_timeout, ..policy() };
        state.end(took, &policy);
        assert_eq!(state.is_prompt, is_prompt, "{took:?} of {request_timeout:?}");
    }
}
