//! What is asked of the cryptography: `fips140` of Go's variable `GODEBUG`, by which upstream's driver switches its own to the
//! validated module. Ours has none, so that it says so: who only prefers it gets a warning, who insists no process.
//! That AWS is asked at its FIPS endpoints is another switch, `AWS_USE_FIPS_ENDPOINT`, which is followed.
//! Source: upstream's docs/fips.md; ebs-driver.md 5, case 154.

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fips {
    /// Nothing.
    Off,
    /// Validated cryptography (`fips140=on`).
    On,
    /// Validated cryptography and none besides (`fips140=only`).
    Only,
}

/// What is told to whom asks for it.
pub(crate) const WARNING: &str = "GODEBUG=fips140=on has no effect: the cryptography of this program is not validated by FIPS \
     140-3; AWS_USE_FIPS_ENDPOINT is followed";
pub(crate) const REFUSAL: &str = "GODEBUG=fips140=only cannot be followed: the cryptography of this program is not validated by \
     FIPS 140-3; where that is a must, keep upstream's image";

impl Fips {
    /// As the environment of the process has it.
    pub(crate) fn of_process() -> Self {
        Self::of(&std::env::var("GODEBUG").unwrap_or_default())
    }

    /// Of the same setting the last one counts; what Go does not know it ignores.
    fn of(settings: &str) -> Self {
        let mut asked = settings
            .split(',')
            .filter_map(|setting| setting.trim().strip_prefix("fips140="));
        match asked.next_back() {
            Some("on" | "debug") => Self::On,
            Some("only") => Self::Only,
            _ => Self::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ebs_case_154_go_is_asked_by_its_variable() {
        for (settings, asked) in [
            ("", Fips::Off),
            ("fips140=off", Fips::Off),
            ("fips140=on", Fips::On),
            ("fips140=debug", Fips::On),
            ("fips140=only", Fips::Only),
            ("http2debug=1, fips140=on", Fips::On),
            ("fips140=only,fips140=off", Fips::Off),
            ("xfips140=on", Fips::Off),
            ("fips140", Fips::Off),
        ] {
            assert_eq!(Fips::of(settings), asked, "{settings:?}");
        }
    }
}
