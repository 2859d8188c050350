//! `services:` of real workflows, through `slipway run` on a private fleet.

use slipway_tests::Checkout;

/// A workflow with Redis beside its job; `check` is its health check.
fn with_redis(check: &str, steps: &str) -> Checkout {
    Checkout::with_workflow(&format!(
        r#"
on: push
jobs:
  cache:
    runs-on: ubuntu-latest
    services:
      redis:
        image: slipway/redis:test
        ports: [6379]
        options: >-
          --health-cmd "{check}" --health-interval 200ms --health-timeout 5s --health-retries 5
      none: ${{{{ vars.NO_SUCH_IMAGE }}}}
    steps:
{steps}"#
    ))
}

/// Speaks to Redis without a client: `bash` opens the connection.
const PING: &str = r#"
          exec 3<>"/dev/tcp/$HOST/$PORT"
          printf 'PING\r\n' >&3
          read -r answer <&3
          echo "$HOST says ${answer%$'\r'}"
"#;

#[test]
fn redis_is_reached_by_its_name_and_by_its_port_on_localhost() {
    let steps = format!(
        "      - env: {{ HOST: redis, PORT: 6379 }}\n        run: |{PING}      \
         - env: {{ HOST: localhost, PORT: \"${{{{ job.services.redis.ports['6379'] }}}}\" }}\n        run: |{PING}"
    );
    let outcome = with_redis("redis-cli ping", &steps).run();
    outcome.expect(0, "success");
    let log = outcome.log("cache");
    for line in ["redis says +PONG", "localhost says +PONG"] {
        assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
    }
}

#[test]
fn a_service_that_is_never_healthy_fails_the_job_and_shows_why() {
    let outcome = with_redis("redis-cli -p 1 ping", "      - run: echo reached\n").run();
    outcome.expect(1, "failure");
    let log = outcome.log("cache");
    assert!(!log.iter().any(|line| line == "reached"), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("service `redis` is not healthy")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("Ready to accept connections")), "its own output: {log:#?}");
}
