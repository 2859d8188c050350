//! Workflow files that were hard for one implementation or another.

/// One file each.
pub(crate) const PICKED: &[&str] = &[
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: [push, pull_request]
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: {push: null, pull_request: {branches: [a, '!b']}}
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: {push: {branches: [a], branches-ignore: [b]}}
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: push
"#,
    r#"on: push
jobs: {}
"#,
    r#"on: push
jobs:
"#,
    r#"on: nope
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"yes: push
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"true: push
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"[]
"#,
    r#"x
"#,
    r#"# nothing
"#,
    r#"null
"#,
    r#"on: push
jobs:
  1a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a b:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  __a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
  A:
    runs-on: x
    steps: [{run: x}]
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
  b:
    needs: a
    runs-on: x
    steps: [{run: x}]
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
  b:
    needs: [a]
    runs-on: x
    steps: [{run: x}]
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
  b:
    needs: nope
    runs-on: x
    steps: [{run: x}]
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
  b:
    needs: b
    runs-on: x
    steps: [{run: x}]
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
  b:
    needs: c
    runs-on: x
    steps: [{run: x}]
  c:
    needs: b
    runs-on: x
    steps: [{run: x}]
"#,
    r#"on: push
jobs:
  b:
    needs: c
    runs-on: x
    steps: [{run: x}]
  c:
    needs: b
    runs-on: x
    steps: [{run: x}]
"#,
    r#"on: push
jobs:
  a:
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: [a, b]
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: {group: g, labels: [a]}
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: {nope: g}
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: ${{ matrix.os }}
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: ${{ secrets.x }}
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: ${{ env.x }}
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, uses: a/b@c}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - uses: a/b@c
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - uses: ./x
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - uses: docker://x
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - uses: a/b
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - uses: a
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - uses: a/b/c/d@e
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - uses: ''
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: ''
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run:
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: 1
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: true
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: [x]
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, step: y}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, with: {a: b}}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {uses: a/b@c, shell: bash}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {uses: a/b@c, with: {a: 1, B: true}}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, id: a}
      - {run: x, id: a}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, id: a}
      - {run: x, id: A}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, id: __a}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, id: a b}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, id: 1}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
      - run: y
      - uses: a/b@c
      - uses: a/b@d
      - uses: ./x
      - uses: docker://y
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: always()}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: "${{ always() }}"}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: always(1)}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: "secrets.A"}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: "nope"}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: "a =="}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: true}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: 1}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: }
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - {run: x, if: "success('a')"}
"#,
    r#"on: push
jobs:
  a:
    if: success('a')
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    if: steps.a
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    if: hashFiles('a')
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    if: needs.a.result == 'x'
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: ${{ github.ref }}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: ${{ }}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: a ${{ nope }} b
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: ${{ github.ref
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: ${{ hashFiles('a') }}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: ${{ always() }}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: ${{ toJSON() }}
"#,
    r#"on: push
jobs:
  a:
    strategy: {matrix: {a: [1, 2], include: [{a: 1, b: 2}], exclude: [{a: 2}]}}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    strategy: {matrix: '${{ fromJSON(needs.x.outputs.y) }}'}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    strategy: {matrix: {a: '${{ fromJSON(github.x) }}'}}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    strategy: {fail-fast: nope}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    strategy: {max-parallel: 2, matrix: {a: [1]}}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    strategy: {nope: 2}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    timeout-minutes: 5
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    timeout-minutes: five
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    timeout-minutes: ${{ matrix.x }}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    continue-on-error: nope
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    env: {A: 1, a: 2}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    env: {A: [1]}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    env:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    outputs: {a: '${{ steps.a.outputs.b }}'}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    permissions: {contents: read}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    permissions: {contents: nope}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    permissions: {nope: read}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    permissions: {}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    permissions: read-all
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    container: node
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    container: {image: node, env: {A: b}, ports: [80], volumes: ['a:b'], options: --cpus 1}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    container: {nope: node}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    defaults: {run: {shell: bash}}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    defaults: {run: {nope: bash}}
    runs-on: x
    steps:
      - run: x
"#,
    r#"a: &x {A: b}
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
env: &x {A: b}
"#,
    r#"on: push
env: &e {A: b}
jobs:
  a:
    env: *e
    runs-on: x
    steps: [{run: x, env: *e}]
"#,
    r#"on: push
on: push
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    runs-on: y
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    RUNS-ON: y
    steps:
      - run: x
"#,
    r#"run-name: ${{ github.actor }}
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"run-name: ${{ secrets.x }}
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"name: [a]
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"name: 1
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"env: {A: '${{ secrets.x }}', B: '${{ env.x }}'}
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: {workflow_dispatch: {inputs: {a: {type: boolean}, b: {type: choice, options: [x]}, c: }}}
jobs: {a: {runs-on: x, steps: [{run: '${{ inputs.a }}'}]}}
"#,
    r#"on: {workflow_dispatch: {inputs: {a: {type: nope}}}}
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: {schedule: [{cron: '0 0 * * *'}]}
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: {schedule: [{cron: '*/1 * * * *'}]}
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: {pull_request: {types: [opened]}}
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: {pull_request: {types: opened}}
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: {release: {types: [published]}, issue_comment: , workflow_run: {workflows: [a], types: [completed]}}
jobs: {a: {runs-on: x, steps: [{run: x}]}}
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps: []
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
"#,
    r#"on: push
jobs:
  a:
    runs-on: x
    steps: {run: x}
"#,
    r#"on: push
jobs:
  a:
    uses: ./.github/workflows/x.yml
    with: {a: b}
    secrets: inherit
"#,
    r#"on: push
jobs:
  a:
    uses: o/r/.github/workflows/x.yml@v1
"#,
    r#"on: push
jobs:
  a:
    uses: o/r@v1
"#,
    r#"on: push
jobs:
  a:
    uses: ./.github/workflows/x.yml
    runs-on: x
"#,
    r#"on: push
jobs:
  a:
    uses: ./.github/workflows/x.yml
    steps: []
"#,
    r#"concurrency: a
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"concurrency: {group: a, cancel-in-progress: true}
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"concurrency: {cancel-in-progress: true}
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    environment: e
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    environment: {name: e, url: u}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    environment: {url: u}
    runs-on: x
    steps:
      - run: x
"#,
    r#"on: push
jobs:
  a:
    services: {r: {image: redis, ports: ['1:2']}}
    runs-on: x
    steps:
      - run: x
"#,
];
