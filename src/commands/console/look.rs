//! How text on standard error looks, according to the settings, the variables and the terminal.

use std::io::IsTerminal as _;
use std::os::fd::AsFd;

use crate::settings::{Color, Environment, LogFormat};
use crate::telemetry::{Look, Rendering};

/// How it looks.
pub(super) fn of((format, color): (LogFormat, Color), is_daemon: bool, environment: &Environment) -> Look {
    let is_terminal = is_terminal(environment);
    let rendering = match format {
        LogFormat::Json => Rendering::Json,
        LogFormat::Logfmt => Rendering::Logfmt,
        LogFormat::Human => Rendering::Human,
        LogFormat::Auto if is_terminal && !environment.is_ci() => Rendering::Human,
        LogFormat::Auto => Rendering::Logfmt,
    };
    Look {
        rendering,
        is_colored: is_colored(color, environment),
        is_unicode: is_unicode(environment),
        width: if is_terminal && rendering == Rendering::Human { width(std::io::stderr()) } else { None },
        zone: environment.time_zone(),
        is_indented: !is_daemon,
    }
}

/// Whether standard error is a terminal on which a line can be redrawn.
pub(super) fn is_terminal(environment: &Environment) -> bool {
    std::io::stderr().is_terminal() && environment.get("TERM") != Some("dumb")
}

/// The columns of a terminal; `None` for anything else.
pub(super) fn width(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether text on standard error is colored. `NO_COLOR` has the last word among the variables.
fn is_colored(color: Color, environment: &Environment) -> bool {
    let forces = |name| environment.get(name).is_some_and(|value| value != "0");
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if environment.get("NO_COLOR").is_some() => false,
        Color::Auto => forces("FORCE_COLOR") || forces("CLICOLOR_FORCE") || is_terminal(environment),
    }
}

/// Whether the locale is one of UTF-8.
fn is_unicode(environment: &Environment) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| environment.get(name));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &str) -> Environment {
        let pairs = variables.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn colors_follow_the_flag_then_no_color_then_the_variables_that_force_them() {
        let rows = [
            (Color::Auto, "TERM=dumb", false),
            (Color::Auto, "TERM=dumb FORCE_COLOR=1", true),
            (Color::Auto, "TERM=dumb FORCE_COLOR=0", false),
            (Color::Auto, "TERM=dumb CLICOLOR_FORCE=1", true),
            (Color::Auto, "TERM=dumb FORCE_COLOR=1 NO_COLOR=1", false),
            (Color::Always, "NO_COLOR=1", true),
            (Color::Never, "FORCE_COLOR=1", false),
        ];
        for (color, variables, expected) in rows {
            assert_eq!(is_colored(color, &environment(variables)), expected, "{color:?} {variables}");
        }
    }

    #[test]
    fn symbols_need_a_locale_of_utf_8() {
        let rows = [
            ("", false),
            ("LANG=C", false),
            ("LANG=en_US.UTF-8", true),
            ("LANG=C.utf8", true),
            ("LC_CTYPE=UTF-8 LANG=C", true),
            ("LC_ALL=C LANG=en_US.UTF-8", false),
        ];
        for (variables, expected) in rows {
            assert_eq!(is_unicode(&environment(variables)), expected, "{variables}");
        }
    }
}
