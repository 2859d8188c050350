#![allow(clippy::unwrap_used, clippy::panic)]

use super::super::{Flags, Options};
use super::*;

fn load(text: &str) -> Result<Vec<ScalerOptions>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(folder.path().join("secret"), "hush\n").unwrap();
    let text = text.replace("SECRET", &folder.path().join("secret").display().to_string());
    std::fs::write(&path, text).unwrap();
    let flags = Flags { config: Some(path), data_dir: Some("/data".into()), ..Flags::default() };
    Options::load(flags).map(|options| options.scalers).map_err(|error| error.to_string())
}

const COMMAND: &str =
    "[[scaler]]\npool = 'X64'\ndriver = 'command'\nup = ['/bin/up', 'a b']\ndown = ['/bin/down']\n";
const WEBHOOK: &str = "[[scaler]]\npool = 'arm64'\ndriver = 'webhook'\nurl = 'https://scale.example.com/agents'\nsecret_file = 'SECRET'\n";
const SYSTEMD: &str =
    "[[scaler]]\npool = 'here'\ndriver = 'systemd'\nunits = 'slipway-agent@{n}.service'\ninstances = '2-4'\n";

#[test]
fn each_driver_has_its_fields_and_the_rest_has_defaults() {
    let times =
        "cooldown_seconds = 0\nquiet_seconds = 1\nat_once = 2\nstart_seconds = 3\ntimeout_seconds = 4\n";
    let found = load(&format!("{COMMAND}{times}{WEBHOOK}{SYSTEMD}")).unwrap();
    let [command, webhook, systemd] = found.try_into().unwrap();
    assert_eq!(command.pool, "x64");
    let driver =
        ScalerDriver::Command { up: vec!["/bin/up".into(), "a b".into()], down: vec!["/bin/down".into()] };
    assert_eq!(command.driver, driver);
    let seconds = [command.cooldown, command.quiet, command.start_limit, command.timeout];
    assert_eq!(seconds.map(|time| time.as_secs()), [0, 1, 3, 4]);
    assert_eq!(command.at_once, 2);
    assert_eq!((webhook.cooldown, webhook.quiet, webhook.start_limit), (COOLDOWN, QUIET, START));
    let ScalerDriver::Webhook { secret, .. } = &webhook.driver else { panic!("{webhook:?}") };
    assert_eq!(secret.0, "hush");
    assert!(!format!("{webhook:?}").contains("hush"));
    let ScalerDriver::Systemd { units, systemctl } = systemd.driver else { panic!() };
    let named = |n: &str| format!("slipway-agent@{n}.service");
    assert_eq!(units, [named("2"), named("3"), named("4")]);
    assert_eq!(systemctl, ["systemctl"]);
    let listed = load(&SYSTEMD.replace("'2-4'", "[7, 'blue']")).unwrap();
    let ScalerDriver::Systemd { units, .. } = &listed[0].driver else { panic!() };
    assert_eq!(units, &[named("7"), named("blue")]);
    assert_eq!(load("").unwrap(), []);
}

#[test]
fn what_is_wrong_is_told_with_its_table_pool_and_field() {
    let replaced = |text: &str, from: &str, to: &str| text.replace(from, to);
    let cases = [
        (replaced(COMMAND, "'X64'", "'a b'"), "[[scaler]]: `pool`: `a b`"),
        (format!("{COMMAND}{COMMAND}"), "[[scaler]]: there are two for the pool `x64`"),
        (replaced(COMMAND, "up = ['/bin/up', 'a b']\n", ""), "`x64`: needs `up`"),
        (replaced(COMMAND, "down = ['/bin/down']\n", ""), "`x64`: needs `down`"),
        (replaced(COMMAND, "'/bin/up', 'a b'", ""), "`x64`: `up` is a program"),
        (replaced(COMMAND, "'/bin/up'", "'up'"), "by its whole path"),
        (replaced(COMMAND, "'command'", "'cloud'"), "cloud"),
        (format!("{COMMAND}url = 'https://x'\n"), "`x64`: `url` means nothing with driver `command`"),
        (format!("{COMMAND}instances = '1-2'\n"), "`instances` means nothing"),
        (format!("{COMMAND}at_once = 0\n"), "`x64`: `at_once`: 0"),
        (format!("{COMMAND}start_seconds = 0\n"), "`x64`: `start_seconds`: 0"),
        (format!("{COMMAND}quiet_seconds = 100000\n"), "`quiet_seconds`: 100000"),
        (format!("{COMMAND}timeout_seconds = 3601\n"), "`timeout_seconds`: 3601"),
        (format!("{COMMAND}colour = 'red'\n"), "colour"),
        (replaced(WEBHOOK, "https://", "http://"), "`arm64`: `url`: `http://scale.example.com/agents`"),
        (replaced(WEBHOOK, "secret_file = 'SECRET'\n", ""), "`arm64`: needs `secret_file`"),
        (replaced(WEBHOOK, "SECRET", "/none"), "`arm64`: `secret_file`: /none"),
        (replaced(WEBHOOK, "url", "up"), "up"),
        (replaced(SYSTEMD, "{n}", ""), "`here`: `units`"),
        (replaced(SYSTEMD, "@", "-"), "`here`: `units`"),
        (replaced(SYSTEMD, ".service", ".socket"), "`here`: `units`"),
        (replaced(SYSTEMD, "slipway", "--now slipway"), "`here`: `units`"),
        (replaced(SYSTEMD, "'2-4'", "'4-2'"), "`here`: `instances`: `4-2` is no range"),
        (replaced(SYSTEMD, "'2-4'", "'1-9999'"), "of at most 1000"),
        (replaced(SYSTEMD, "'2-4'", "[]"), "`instances` are 1 to 1000"),
        (replaced(SYSTEMD, "'2-4'", "[1, '1']"), "twice"),
        (replaced(SYSTEMD, "'2-4'", "['a/b']"), "`instances`: `a/b`"),
        (format!("{SYSTEMD}systemctl = []\n"), "`here`: `systemctl` is a program"),
        (format!("{SYSTEMD}{}", replaced(SYSTEMD, "'here'", "'there'")), "is another pool's, too"),
    ];
    for (text, part) in cases {
        let error = load(&text).unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
    }
}
