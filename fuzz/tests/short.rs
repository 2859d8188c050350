//! A short run of every target, always with the same seeds.

use slipway_fuzz::{Target, input, run};

/// Seeds a target.
const SEEDS: u64 = 1_000;

fn nothing_is_found(target: Target) {
    let findings: Vec<String> = (0..SEEDS)
        .filter_map(|seed| run(target, seed).err())
        .map(|finding| format!("seed {}: {}", finding.seed, finding.message))
        .collect();
    assert!(
        findings.is_empty(),
        "replay with `slipway-fuzz {} --seed S --replay`:\n{}",
        target.name(),
        findings.join("\n")
    );
}

#[test]
fn parser() {
    nothing_is_found(Target::Parser);
}

#[test]
fn expressions() {
    nothing_is_found(Target::Expressions);
}

#[test]
fn commands() {
    nothing_is_found(Target::Commands);
}

#[test]
fn env_files() {
    nothing_is_found(Target::EnvFiles);
}

#[test]
fn junit() {
    nothing_is_found(Target::Junit);
}

#[test]
fn lcov() {
    nothing_is_found(Target::Lcov);
}

#[test]
fn cobertura() {
    nothing_is_found(Target::Cobertura);
}

#[test]
fn sarif() {
    nothing_is_found(Target::Sarif);
}

#[test]
fn sbom() {
    nothing_is_found(Target::Sbom);
}

#[test]
fn webhooks() {
    nothing_is_found(Target::Webhooks);
}

#[test]
fn resource_names() {
    nothing_is_found(Target::ResourceNames);
}

#[test]
fn results() {
    nothing_is_found(Target::Results);
}

#[test]
fn archives() {
    nothing_is_found(Target::Archives);
}

#[test]
fn a_seed_is_its_input() {
    let inputs: Vec<Vec<u8>> = (0..100).map(|seed| input(Target::Parser, seed)).collect();
    assert_eq!(inputs, (0..100).map(|seed| input(Target::Parser, seed)).collect::<Vec<_>>());
    assert!(inputs.windows(2).all(|pair| pair[0] != pair[1]));
}
