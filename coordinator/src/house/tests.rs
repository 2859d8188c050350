//! What admins decide, without a driver around it.
#![allow(clippy::unwrap_used)]

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);
const HOUR_MS: u64 = 3_600_000;

fn agent(number: u128) -> AgentId {
    AgentId::from_u128(number)
}

fn done(house: &mut House, command: HouseCommand, now: Timestamp) {
    let event = house.decide(command, now).unwrap().unwrap();
    // As the journal has it.
    let event: HouseEvent = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
    house.apply(&event);
}

fn make(id: &str, sha256: &str) -> HouseCommand {
    let (id, sha256) = (id.to_owned(), sha256.to_owned());
    HouseCommand::MakeToken { id, sha256, labels: vec!["gpu".to_owned()], life_ms: HOUR_MS }
}

fn enrol(number: u128, token: &str, credential: &str) -> HouseCommand {
    HouseCommand::Enrol {
        agent: agent(number),
        name: "host".to_owned(),
        token_sha256: token.to_owned(),
        credential: credential.to_owned(),
        certificate: false,
    }
}

fn pool(name: &str, labels: &[&str], min: u32, max: u32) -> HouseCommand {
    let labels = labels.iter().map(ToString::to_string).collect();
    HouseCommand::SetPool(PoolRule {
        name: name.to_owned(),
        arch: "X64".to_owned(),
        labels,
        min,
        max,
        at: Timestamp(0),
    })
}

fn secret(name: &str, scope: Scope) -> HouseCommand {
    let address = Address { name: name.to_owned(), scope };
    let file = format!("{}.sealed", address.key().len());
    HouseCommand::SetSecret(KeptSecret { address, place: ValuePlace::File(file), at: Timestamp(0) })
}

#[test]
fn a_token_is_good_once_and_for_its_time() {
    let mut house = House::default();
    done(&mut house, make("t", "sha"), NOW);
    assert_eq!(house.decide(enrol(1, "other", "c"), NOW), Err(HouseError::Token));
    let late = Timestamp(NOW.0 + HOUR_MS);
    assert_eq!(house.decide(enrol(1, "sha", "c"), late), Err(HouseError::Token));
    done(&mut house, enrol(1, "sha", "c"), NOW);
    assert_eq!(house.agent(agent(1)).unwrap().labels, ["gpu"]);
    // The same once more: it did not hear the answer.
    assert_eq!(house.decide(enrol(1, "sha", "c"), late), Ok(None));
    // Whoever stole it comes too late, as another agent or with a credential of its own.
    assert_eq!(house.decide(enrol(2, "sha", "c"), NOW), Err(HouseError::Token));
    assert_eq!(house.decide(enrol(1, "sha", "stolen"), NOW), Err(HouseError::Token));
}

#[test]
fn a_revoked_token_is_good_for_nothing() {
    let mut house = House::default();
    done(&mut house, make("t", "sha"), NOW);
    done(&mut house, HouseCommand::RevokeToken { id: "t".to_owned() }, NOW);
    assert_eq!(house.decide(enrol(1, "sha", "c"), NOW), Err(HouseError::Token));
    let again = house.decide(HouseCommand::RevokeToken { id: "t".to_owned() }, NOW);
    assert!(matches!(again, Err(HouseError::NotFound(_))), "{again:?}");
}

#[test]
fn a_removed_agent_comes_back_with_a_new_token_only() {
    let mut house = House::default();
    done(&mut house, make("t", "sha"), NOW);
    done(&mut house, enrol(1, "sha", "c"), NOW);
    done(&mut house, HouseCommand::RemoveAgent { agent: agent(1) }, NOW);
    assert!(house.is_removed(agent(1)) && house.agent(agent(1)).is_none());
    assert_eq!(house.decide(enrol(1, "sha", "c"), NOW), Err(HouseError::Token));
    done(&mut house, make("u", "sha2"), NOW);
    done(&mut house, enrol(1, "sha2", "d"), NOW);
    assert!(!house.is_removed(agent(1)));
}

#[test]
fn the_oldest_removed_agent_is_forgotten_first() {
    let mut house = House::default();
    for number in 0..=REMOVED_MAX as u128 {
        house.apply(&HouseEvent::AgentRemoved { agent: agent(number), at: NOW });
    }
    assert!(!house.is_removed(agent(0)) && house.is_removed(agent(1)));
}

#[test]
fn tokens_have_a_limit_and_those_that_ended_do_not_count() {
    let mut house = House::default();
    for number in 0..TOKENS_MAX {
        house.apply(&HouseEvent::TokenMade(EnrolToken {
            id: number.to_string(),
            sha256: number.to_string(),
            labels: Vec::new(),
            made_at: NOW,
            expires_at: Timestamp(NOW.0 + 10),
        }));
    }
    assert!(matches!(house.decide(make("t", "sha"), NOW), Err(HouseError::Limit(_))));
    done(&mut house, make("t", "sha"), Timestamp(NOW.0 + 10));
    assert_eq!(house.tokens.len(), 1, "what ended is forgotten");
    let forever = HouseCommand::MakeToken {
        id: "x".to_owned(),
        sha256: "x".to_owned(),
        labels: Vec::new(),
        life_ms: 31 * 24 * HOUR_MS,
    };
    assert!(matches!(house.decide(forever, NOW), Err(HouseError::Invalid(_))));
}

#[test]
fn a_pool_has_sense_and_no_twin() {
    let mut house = House::default();
    for (min, max) in [(2, 1), (0, POOL_AGENTS_MAX + 1)] {
        assert!(matches!(house.decide(pool("x64", &[], min, max), NOW), Err(HouseError::Invalid(_))));
    }
    done(&mut house, pool("gpu", &["gpu"], 1, 3), NOW);
    assert!(matches!(house.decide(pool("other", &["gpu"], 1, 3), NOW), Err(HouseError::Invalid(_))));
    done(&mut house, pool("GPU", &["gpu"], 2, 4), NOW);
    let pools: Vec<_> = house.pools().map(|pool| (pool.min, pool.max, pool.at)).collect();
    assert_eq!(pools, [(2, 4, NOW)], "one pool, whatever the case of its name");
    done(&mut house, HouseCommand::RemovePool { name: "gpu".to_owned() }, NOW);
    assert_eq!(house.pools().count(), 0);
}

#[test]
fn the_nearest_secret_counts_and_others_stay_unseen() {
    let repository = |name: &str| Scope::Repository { repository: name.to_owned() };
    let environment =
        |name: &str| Scope::Environment { repository: "o/r".to_owned(), environment: name.to_owned() };
    let mut house = House::default();
    done(&mut house, secret("A", environment("Prod")), NOW);
    done(&mut house, secret("A", Scope::Server), NOW);
    done(&mut house, secret("A", repository("o/r")), NOW);
    done(&mut house, secret("B", repository("o/other")), NOW);
    let seen = |repository: &str, environment: Option<&str>| -> Vec<String> {
        let seen = house.secrets_for(repository, environment);
        seen.into_iter().map(|secret| secret.address.describe()).collect()
    };
    assert_eq!(seen("O/R", Some("prod")), ["A", "A of o/r", "A of o/r for Prod"]);
    assert_eq!(seen("o/r", Some("test")), ["A", "A of o/r"]);
    assert_eq!(seen("o/r", None), ["A", "A of o/r"]);
    assert_eq!(seen("x/y", Some("prod")), ["A"]);
}

#[test]
fn it_comes_back_from_a_snapshot_and_from_one_without_it() {
    let mut house = House::default();
    done(&mut house, make("t", "sha"), NOW);
    done(&mut house, enrol(1, "sha", "c"), NOW);
    done(&mut house, pool("gpu", &["gpu"], 1, 3), NOW);
    done(&mut house, secret("A", Scope::Server), NOW);
    let address = Address { name: "B".to_owned(), scope: Scope::Server };
    let variable = KeptVariable { address, value: "v".to_owned(), at: Timestamp(0) };
    done(&mut house, HouseCommand::SetVariable(variable), NOW);
    done(&mut house, HouseCommand::RemoveAgent { agent: agent(2) }, NOW);
    let again: House = serde_json::from_str(&serde_json::to_string(&house).unwrap()).unwrap();
    assert_eq!(again, house);
    assert_eq!(serde_json::from_str::<House>("{}").unwrap(), House::default());
}
