//! What keeps ordinary users from having namespaces of their own, and what to do about it.
//!
//! Nothing is decided by this: whether it works is found out by doing it. These are only the reasons that are known, for
//! when it did not. Sources: `user_namespaces(7)`; Debian's kernel (`unprivileged_userns_clone`); Ubuntu's
//! (`apparmor_restrict_unprivileged_userns`).

/// A setting of the kernel, the value that restricts, and what to do.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "no user namespace is allowed: `sysctl -w user.max_user_namespaces=10000`",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "only root may make user namespaces: `sysctl -w kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces: `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or a profile \
         for bootway with `userns,`",
    ),
];

/// `ENOSPC` of `unshare(2)`: a limit on namespaces is reached, be it of this user namespace or of one around it.
const LIMIT_REACHED: &str = "os error 28";

/// What to do so that a root can be entered here although the system says `why` not, as far as that can be seen; `read`
/// reads a file.
pub(crate) fn remedy(why: &str, read: impl Fn(&str) -> Option<String>) -> String {
    let restricts =
        SETTINGS.iter().filter(|(file, value, _)| read(file).is_some_and(|is| is.trim() == *value));
    let reasons: Vec<&str> = restricts.map(|(_, _, reason)| *reason).collect();
    if reasons.is_empty() && why.contains(LIMIT_REACHED) {
        "a limit on namespaces is reached, of this user or of a container around it: end what uses them, or raise \
         `user.max_user_namespaces` where it is low"
            .to_owned()
    } else if reasons.is_empty() {
        "no setting of the kernel forbids it, so a container or its seccomp filter may: allow `unshare` and `mount` there, \
         or run bootway outside"
            .to_owned()
    } else {
        reasons.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::remedy;

    #[test]
    fn a_setting_that_is_not_there_restricts_nothing() {
        insta::assert_snapshot!(remedy("", |_| None), @"no setting of the kernel forbids it, so a container or its seccomp filter may: allow `unshare` and `mount` there, or run bootway outside");
    }

    #[test]
    fn a_limit_that_is_reached_is_no_setting() {
        insta::assert_snapshot!(remedy("No space left on device (os error 28)", |_| Some("100".to_owned())), @"a limit on namespaces is reached, of this user or of a container around it: end what uses them, or raise `user.max_user_namespaces` where it is low");
    }

    #[test]
    fn what_restricts_is_named_with_what_to_do() {
        let debian = |file: &str| file.ends_with("unprivileged_userns_clone").then(|| "0\n".to_owned());
        insta::assert_snapshot!(remedy("", debian), @"only root may make user namespaces: `sysctl -w kernel.unprivileged_userns_clone=1`");
    }
}
