//! The texts of the help and the manual: examples of each command, credentials and exit codes.

use crate::settings::layers::{RUN, Sections, WAIT, WATCH};

/// What the help and the manual of a command say besides its options.
pub(in crate::cli) struct Page {
    pub(in crate::cli) command: &'static str,
    /// What it is for, and the command.
    pub(in crate::cli) examples: &'static [[&'static str; 2]],
    /// Where the defaults of its options come from; `None` if it sends no requests to Snyk.
    pub(in crate::cli) defaults: Option<Sections>,
}

/// The page of the program itself comes first.
pub(in crate::cli) const PAGES: &[Page] = &[
    Page {
        command: "snyk-export",
        examples: &[
            ["See it work, without Snyk", "snyk-export demo"],
            ["Wait for an export", "snyk-export wait EXPORT_ID --group-id GROUP_ID"],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "wait",
        examples: &[
            ["Wait, 20 minutes at most", "snyk-export wait EXPORT_ID --group-id GROUP_ID --max-wait 20m"],
            [
                "By the path that Snyk answered",
                "snyk-export wait /groups/GROUP_ID/jobs/export/EXPORT_ID -- ./load.sh",
            ],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "status",
        examples: &[
            ["Ask once", "snyk-export status EXPORT_ID --group-id GROUP_ID"],
            [
                "Exit with 75 while it is in progress",
                "snyk-export status /orgs/ORG_ID/jobs/export/EXPORT_ID --output json",
            ],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "start",
        examples: &[
            [
                "The issues of yesterday",
                "snyk-export start --group-id GROUP_ID --dataset issues \\\n    --introduced-from yesterday --introduced-to today",
            ],
            ["A whole document", "snyk-export start --org-id ORG_ID --body start.json"],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "download",
        examples: &[
            ["Into a directory", "snyk-export download EXPORT_ID --group-id GROUP_ID --dir issues"],
            ["And into one file", "snyk-export download EXPORT_ID --dir issues --merge issues.csv"],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "run",
        examples: &[
            [
                "Each night, with SNYK_GROUP_ID set",
                "snyk-export run --dataset issues --updated-from -1d --dir 'issues/{date}'",
            ],
            ["The last week", "snyk-export run --dataset issues --updated-from -7d --dir week -- ./load.sh"],
        ],
        defaults: Some(RUN),
    },
    Page {
        command: "watch",
        examples: &[
            ["The daemon", "snyk-export watch --config watch.toml"],
            ["Is the file right?", "snyk-export watch --config watch.toml --check"],
        ],
        defaults: Some(WATCH),
    },
    Page {
        command: "doctor",
        examples: &[
            ["Before the first wait", "snyk-export doctor"],
            ["Why is this export not found?", "snyk-export doctor EXPORT_ID --group-id GROUP_ID"],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "healthcheck",
        examples: &[
            ["The daemon on this machine", "snyk-export healthcheck"],
            ["Where its settings say", "snyk-export healthcheck --config watch.toml"],
        ],
        defaults: None,
    },
    Page {
        command: "simulate",
        examples: &[
            ["With faults", "snyk-export simulate --scenario flaky"],
            ["What there is", "snyk-export simulate --list"],
        ],
        defaults: None,
    },
    Page {
        command: "demo",
        examples: &[
            ["An export with troubles, in 8 seconds", "snyk-export demo"],
            ["Its log as JSON", "snyk-export demo --log-format json"],
        ],
        defaults: None,
    },
    Page {
        command: "completions",
        examples: &[
            ["In bash, for this session", "source <(snyk-export completions bash)"],
            ["In fish", "snyk-export completions fish > ~/.config/fish/completions/snyk-export.fish"],
        ],
        defaults: None,
    },
    Page {
        command: "man",
        examples: &[
            ["Read it", "snyk-export man | man -l -"],
            ["A page for each command", "snyk-export man --dir ~/.local/share/man/man1"],
        ],
        defaults: None,
    },
    Page {
        command: "watches",
        examples: &[
            ["All of them", "snyk-export watches --config watch.toml"],
            ["What has ended, for a program", "snyk-export watches list --state ended --output json"],
            [
                "Follow an export",
                "snyk-export watches add EXPORT_ID --group-id GROUP_ID --label team=payments",
            ],
            ["What was just started", "snyk-export start … --output json | snyk-export watches add -"],
        ],
        defaults: None,
    },
    Page {
        command: "deliveries",
        examples: &[
            ["What no receiver took", "snyk-export deliveries list --state undeliverable"],
            ["Send it again", "snyk-export deliveries redeliver WATCH_ID platform"],
        ],
        defaults: None,
    },
];

/// Where a credential comes from.
pub(in crate::cli) const CREDENTIALS: &[[&str; 2]] = &[
    ["--token-file FILE", "a file that holds a token"],
    ["SNYK_OAUTH_TOKEN", "an OAuth access token"],
    ["SNYK_TOKEN", "an API token, a personal access token, or that of a service account"],
    ["SNYK_TOKEN_FILE", "a file that holds a token"],
    ["SNYK_CLIENT_ID, SNYK_CLIENT_SECRET", "an OAuth client"],
    ["token-file in the settings file", "a file that holds a token"],
    ["SNYK_CFG_API", "a token, as for the Snyk CLI"],
    ["the Snyk CLI's configuration", "after `snyk auth`"],
];

pub(in crate::cli) const EXIT_CODES: &[[&str; 2]] = &[
    ["0", "finished"],
    ["1", "an unforeseen failure of snyk-export itself"],
    ["2", "bad arguments or settings"],
    ["3", "failed: Snyk says that the export has failed"],
    ["4", "unauthorized, forbidden"],
    ["5", "not-found"],
    ["6", "conflict"],
    ["7", "rejected: Snyk does not accept the request"],
    ["8", "unknown-status"],
    ["9", "stalled: longer in one status than --max-in-progress allows"],
    [
        "69",
        "unavailable: no answer for longer than --max-outage; start, run: there may or may not be an export; healthcheck: the daemon is not well",
    ],
    ["75", "status, download: still in progress"],
    ["124", "timed-out: --max-wait passed"],
    ["129, 130, 143", "interrupted by SIGHUP, SIGINT, SIGTERM"],
];

/// The page of a command.
pub(in crate::cli) fn page(command: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.command == command)
}
