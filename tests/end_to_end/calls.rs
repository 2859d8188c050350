//! Reusable workflows with real containers: inputs, secrets and a matrix go down, outputs come back.

use slipway_tests::Checkout;

const CALLER: &str = r#"
on: push
jobs:
  deploy:
    strategy:
      max-parallel: 1
      matrix:
        region: [eu, us]
    uses: ./.github/workflows/deploy.yml
    with:
      region: ${{ matrix.region }}
      dry-run: true
    secrets:
      KEY: key-of-${{ secrets.REAL }}
  report:
    needs: deploy
    runs-on: ubuntu-latest
    steps:
      - run: echo "deployed ${{ needs.deploy.outputs.where }} ${{ needs.deploy.result }}"
"#;

const CALLEE: &str = r#"
on:
  workflow_call:
    inputs:
      region: { type: string, required: true }
      dry-run: { type: boolean }
      times: { type: number, default: 2 }
    secrets:
      KEY: { required: true }
    outputs:
      where: { value: '${{ jobs.send.outputs.where }}' }
env:
  FROM: callee
jobs:
  prepare:
    runs-on: ubuntu-latest
    steps:
      - run: echo "prepare $FROM ${{ inputs.region }} ${{ inputs.dry-run == true }} ${{ inputs.times == 2 }} ${{ github.event_name }}"
  send:
    needs: prepare
    if: inputs.dry-run
    runs-on: ubuntu-latest
    outputs:
      where: ${{ steps.send.outputs.where }}
    env:
      KEY: ${{ secrets.KEY }}
    steps:
      - id: send
        run: |
          [ "$KEY" = "key-of-hidden" ] && echo "the key fits"
          [ -z "${{ secrets.REAL }}" ] && echo "nothing else was handed down"
          echo "where=${{ inputs.region }}" >> "$GITHUB_OUTPUT"
  never:
    if: inputs.region == 'mars'
    runs-on: ubuntu-latest
    steps:
      - run: echo never
"#;

#[test]
fn a_reusable_workflow_is_called_with_a_matrix() {
    let checkout = Checkout::with_workflow(CALLER);
    checkout.write(".github/workflows/deploy.yml", CALLEE);
    let outcome = checkout.run_with(&["--secret", "REAL=hidden"]);
    outcome.expect(0, "success");
    for region in ["eu", "us"] {
        let number = if region == "eu" { 1 } else { 2 };
        let job = |id: &str| format!("deploy#{number}/{id}");
        let name = |id: &str| format!("deploy ({region}) / {id}");
        assert_eq!(outcome.job(&job("send")), [(name("send"), "success".to_owned())]);
        assert_eq!(outcome.job(&job("never")), [(name("never"), "skipped".to_owned())]);
        let prepared = outcome.log(&job("prepare"));
        assert!(prepared.contains(&format!("prepare callee {region} true true push")), "{prepared:#?}");
        let sent = outcome.log(&job("send"));
        for line in ["the key fits", "nothing else was handed down"] {
            assert!(sent.iter().any(|logged| logged == line), "`{line}` is missing: {sent:#?}");
        }
    }
    let report = outcome.log("report");
    assert!(report.contains(&"deployed us success".to_owned()), "{report:#?}");
    assert!(!outcome.stdout.contains("hidden"), "the secret is masked");
}

#[test]
fn a_call_that_is_wrong_starts_nothing() {
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  a:\n    uses: ./.github/workflows/b.yml\n    with: {regoin: eu}\n",
    );
    checkout.write(
        ".github/workflows/b.yml",
        "on: {workflow_call: {inputs: {region: {type: string}}}}\njobs: {x: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}}\n",
    );
    let outcome = checkout.run();
    assert_eq!(outcome.code, 2, "{outcome:#?}");
    assert!(outcome.stderr.contains("no input `regoin`"), "{outcome:#?}");
}
