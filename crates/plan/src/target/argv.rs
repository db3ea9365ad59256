//! What the environment adds to the arguments of a program: never what they say already.

use super::{EnvSpec, Ordered};

/// Arguments, and the environment that goes with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argv {
    /// Arguments: those from the environment first, then those that were given.
    pub args: Vec<String>,
    /// Environment variables that the program sees besides its own.
    pub env: Vec<(String, String)>,
}

/// The arguments of a program that was given `args` where the environment has `value` for a variable and `spec` says
/// what variables mean. Arguments beat the environment, which beats the default.
///
/// The arguments are parsed, not searched: a flag counts wherever it stands and as `--flag VALUE` or `--flag=VALUE`,
/// but not where it is the value of another one, and not behind `--`.
pub(super) fn argv(
    spec: &Ordered<String, EnvSpec>,
    args: &[String],
    value: &dyn Fn(&str, &EnvSpec) -> Option<String>,
) -> Argv {
    let given = flags(spec, args);
    let mut argv = Argv::default();
    for (name, spec) in spec.iter() {
        let Some(value) = value(name, spec) else { continue };
        match &spec.flag {
            None => argv.env.push((name.clone(), value)),
            Some(flag) if given.contains(&flag.as_str()) => (),
            Some(flag) => argv.args.extend([flag.clone(), value]),
        }
    }
    argv.args.extend(args.iter().cloned());
    argv
}

/// The flags of `spec` that are among `args`, in their first spelling.
fn flags<'a>(spec: &'a Ordered<String, EnvSpec>, args: &[String]) -> Vec<&'a str> {
    let mut given = Vec::new();
    let mut rest = args.iter().take_while(|arg| *arg != "--");
    while let Some(arg) = rest.next() {
        let (name, has_value) = arg.split_once('=').map_or((arg.as_str(), false), |(name, _)| (name, true));
        let meant = spec.iter().find_map(|(_, it)| {
            let flag = it.flag.as_deref()?;
            (flag == name || it.also.iter().any(|also| also == name)).then_some(flag)
        });
        if let Some(flag) = meant {
            given.push(flag);
            if !has_value {
                rest.next(); // Its value, whatever that looks like.
            }
        }
    }
    given
}
