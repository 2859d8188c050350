//! The `slipway` program.

fn main() -> std::process::ExitCode {
    slipway::run(std::env::args_os())
}
