//! The templates. All texts in them are escaped, but for the parts that other templates made ([`Shell::main`]).

use askama::Template;

/// What every page has around it.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} · snyk-export</title><link rel="icon" href="data:,"><style>{{ style|safe }}</style></head>
<body><a class="skip" href="#main">Skip to the content</a>
<header><h1>snyk-export</h1>{% if !is_login %}<nav aria-label="Pages"><a href="/">Watches</a><a href="/notifications">Notifications</a></nav>
{% if has_login %}<form method="post" action="/logout"><button>Log out</button></form>{% endif %}{% endif %}</header>
<main id="main">{{ main|safe }}</main>
{% if !is_login %}<footer class="dim"><p id="told" class="vh" role="status"></p><p><span id="fresh">Without JavaScript this page does not update itself.</span> <a href="{{ path }}">Reload</a>. Times are UTC; version {{ version }}.</p></footer>
<script>{{ script|safe }}</script>{% endif %}</body></html>"##
)]
pub(super) struct Shell<'a> {
    pub(super) title: &'a str,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) main: &'a str,
    pub(super) path: &'a str,
    pub(super) version: &'static str,
    pub(super) is_login: bool,
    pub(super) has_login: bool,
}

/// A point in time: exact, and as people say it.
pub(super) struct When {
    pub(super) exact: String,
    pub(super) said: String,
}

/// The headline, and what is not well.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<section id="verdict" data-live aria-label="State of the daemon"{% if !troubles.is_empty() %} class="bad"{% elif !is_known %} class="unsure"{% endif %}>
<h2>{% if troubles.is_empty() && !is_known %}<span class="dim" aria-hidden="true">○</span>{% elif troubles.is_empty() %}<span class="good" aria-hidden="true">✓</span>{% else %}<span class="bad" aria-hidden="true">▲</span>{% endif %} {{ headline }}</h2>
<p>Since <time datetime="{{ since.exact }}">{{ since.exact }}</time> ({{ since.said }}). {{ numbers }}</p>
{% if !troubles.is_empty() %}<ul>{% for it in troubles %}<li>{% if it.more.is_empty() %}{{ it.what }}{% else %}<a href="{{ it.more }}">{{ it.what }}</a>{% endif %}{% if let Some(since) = it.since %}, since <time datetime="{{ since.exact }}">{{ since.exact }}</time> ({{ since.said }}){% endif %}.{% if !it.cure.is_empty() %} <span class="dim">What to do: {{ it.cure }}.</span>{% endif %}</li>{% endfor %}
{% if omitted > 0 %}<li>And {{ omitted }} more.</li>{% endif %}</ul>{% endif %}</section>"##
)]
pub(super) struct Head {
    pub(super) headline: String,
    pub(super) since: When,
    pub(super) numbers: String,
    /// Whether all accounts have answered.
    pub(super) is_known: bool,
    pub(super) troubles: Vec<Told>,
    pub(super) omitted: usize,
}

/// Something that is not well.
pub(super) struct Told {
    pub(super) what: String,
    pub(super) since: Option<When>,
    pub(super) cure: &'static str,
    pub(super) more: String,
}

/// The accounts.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<section id="accounts" data-live aria-labelledby="accounts-h"><h2 id="accounts-h">Accounts</h2>
{% if rows.is_empty() %}<p>There are none.</p>{% else %}<div class="scroll" role="region" tabindex="0" aria-label="Table of accounts"><table><thead><tr><th scope="col">Account</th><th scope="col">State</th><th scope="col">Watches</th><th scope="col">Polls under way</th><th scope="col" class="wide">Budget</th></tr></thead><tbody>
{% for it in rows %}<tr><th scope="row"><a href="{{ it.path }}">{{ it.name }}</a></th><td><span class="{{ it.class }}"><span aria-hidden="true">{{ it.shape }}</span> {{ it.word }}</span>{% if !it.why.is_empty() %}<br><small>{{ it.why }}</small>{% endif %}</td><td>{{ it.watches }}</td><td>{{ it.under_way }}</td><td class="wide">{{ it.budget }}</td></tr>
{% endfor %}</tbody></table></div>{% if omitted > 0 %}<p>And {{ omitted }} more, of which nothing is wrong.</p>{% endif %}{% endif %}</section>"##
)]
pub(super) struct Accounts {
    pub(super) rows: Vec<AccountRow>,
    pub(super) omitted: usize,
}

/// An account.
pub(super) struct AccountRow {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) class: &'static str,
    pub(super) shape: &'static str,
    pub(super) word: &'static str,
    pub(super) why: String,
    pub(super) watches: String,
    pub(super) under_way: String,
    pub(super) budget: String,
}

/// The table of watches, with its search.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<section aria-labelledby="watches-h"><h2 id="watches-h">Watches</h2>
<form class="find" role="search" aria-label="Watches" action="/"><div><label for="q">Search ids, labels, statuses</label><input id="q" name="q" type="search" maxlength="500" value="{{ text }}"></div>
<div><label for="state">State</label><select id="state" name="state">{% for (word, name, chosen) in choices %}<option value="{{ word }}"{% if *chosen %} selected{% endif %}>{{ name }}</option>{% endfor %}</select></div>
<div><label for="account">Account</label>{% if let Some(names) = accounts %}<select id="account" name="account"><option value="">all</option>{% for name in names %}<option{% if name == account %} selected{% endif %}>{{ name }}</option>{% endfor %}</select>{% else %}<input id="account" name="account" value="{{ account }}">{% endif %}</div>
<div><label for="label">Label, as key=value</label><input id="label" name="label" maxlength="500" value="{{ label }}"></div>
<button>Show</button>{% if is_filtered %} <a href="/">Show all</a>{% endif %}</form>
<div id="watches" data-live>{% if rows.is_empty() %}<p>{{ none }}</p>{% else %}<div class="scroll" role="region" tabindex="0" aria-label="Table of watches"><table><thead><tr><th scope="col">Export</th><th scope="col">State</th><th scope="col">Timeline</th><th scope="col">Followed for</th><th scope="col">Next check or end</th><th scope="col" class="wide">Account</th><th scope="col" class="wide">Labels</th></tr></thead><tbody>
{% for it in rows %}<tr id="w-{{ it.id }}"><th scope="row" class="id"><a href="/watches/{{ it.id }}">{{ it.export }}</a><small>{{ it.scope }}</small></th><td><span class="{{ it.class }}"><span aria-hidden="true">{{ it.shape }}</span> {{ it.word }}</span>{% if !it.status.is_empty() %}<br><small>{{ it.status }}</small>{% endif %}</td><td><svg class="mini" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{{ it.line }}">{% for bar in it.bars %}<path class="{{ bar.class }}" d="{{ bar.path }}"/>{% endfor %}</svg></td><td>{{ it.lasted }}</td><td><time datetime="{{ it.when.exact }}">{{ it.when.said }}</time></td><td class="wide">{{ it.account }}</td><td class="wide">{% for (key, value, path) in it.labels %}{% if path.is_empty() %}<span class="l">{{ key }}={{ value }}</span>{% else %}<a class="l" href="{{ path }}">{{ key }}={{ value }}</a>{% endif %}{% endfor %}{% if it.omitted > 0 %}<small>and {{ it.omitted }} more</small>{% endif %}</td></tr>
{% endfor %}</tbody></table></div>{% endif %}
<nav class="pager" aria-label="Pages of watches">{% if !first.is_empty() %}<a href="{{ first }}">Newest</a>{% endif %}{% if !newer.is_empty() %}<a rel="prev" href="{{ newer }}">Newer</a>{% endif %}{% if !older.is_empty() %}<a rel="next" href="{{ older }}">{{ go_on }}</a>{% endif %}</nav></div></section>"##
)]
pub(super) struct Watches<'a> {
    pub(super) text: &'a str,
    pub(super) choices: Vec<(&'static str, &'static str, bool)>,
    pub(super) accounts: Option<Vec<String>>,
    pub(super) account: &'a str,
    pub(super) label: &'a str,
    pub(super) is_filtered: bool,
    pub(super) none: &'static str,
    pub(super) rows: Vec<WatchRow>,
    pub(super) first: String,
    pub(super) newer: String,
    pub(super) older: String,
    pub(super) go_on: &'static str,
}

/// A watch in the table.
pub(super) struct WatchRow {
    pub(super) id: String,
    pub(super) export: String,
    pub(super) scope: String,
    pub(super) class: &'static str,
    pub(super) shape: &'static str,
    pub(super) word: String,
    pub(super) status: String,
    pub(super) line: String,
    pub(super) bars: Vec<Drawn>,
    pub(super) lasted: String,
    pub(super) when: When,
    pub(super) account: String,
    /// Key, value, and the path of all watches that have it, if it is short.
    pub(super) labels: Vec<(String, String, String)>,
    pub(super) omitted: usize,
}

/// A bar of a timeline.
pub(super) struct Drawn {
    pub(super) class: &'static str,
    pub(super) path: String,
    pub(super) label: String,
    pub(super) when: When,
}

/// A watch.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<p><a href="/">All watches</a></p><div id="watch" data-live><h2>Export {{ row.export }}: <span class="{{ row.class }}"><span aria-hidden="true">{{ row.shape }}</span> {{ row.word }}</span></h2>
{% if !said.is_empty() %}<p>{{ said }}</p>{% endif %}{% if !hint.is_empty() %}<p><strong>What to do:</strong> {{ hint }}</p>{% endif %}
<h3>Timeline</h3><svg class="full" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="Timeline: {{ row.line }}">{% for bar in row.bars %}<g class="bar" id="bar-{{ loop.index }}" aria-label="{{ bar.label }}, {{ bar.when.exact }}"><title>{{ bar.label }}</title><path class="{{ bar.class }}" d="{{ bar.path }}"/></g>{% endfor %}</svg>
<div class="ends dim"><span>{{ begun.exact }}</span><span>{{ row.when.exact }}</span></div>
<p class="dim">An outline: no status yet. A low bar: PENDING. A high bar: STARTED. A roof: another status. A line with a cross below: polls failed. A flag: the next check. A check mark or a cross at the end: it finished, or ended otherwise.</p></div>
<p id="chosen" role="status"></p>
<div id="steps" data-live><div class="scroll" role="region" tabindex="0" aria-label="What happened"><table><thead><tr><th scope="col">When</th><th scope="col">What</th></tr></thead><tbody>{% for bar in row.bars %}<tr id="step-{{ loop.index }}"><td class="now"><time datetime="{{ bar.when.exact }}">{{ bar.when.exact }}</time></td><td>{{ bar.label }}</td></tr>{% endfor %}</tbody></table></div>
<h3>Notifications</h3>{% if table.is_empty() %}<p>{{ no_notes }}</p>{% else %}{{ table|safe }}{% endif %}
<h3>Facts</h3><dl>{% for (name, value) in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl></div>"##
)]
pub(super) struct Watch {
    pub(super) row: WatchRow,
    pub(super) said: String,
    pub(super) hint: String,
    pub(super) begun: When,
    pub(super) no_notes: &'static str,
    pub(super) table: String,
    pub(super) facts: Vec<(String, String)>,
}

/// A table of notifications.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<div class="scroll" role="region" tabindex="0" aria-label="Table of notifications"><table><thead><tr><th scope="col">Endpoint</th><th scope="col">State</th>{% if has_watch %}<th scope="col">About</th>{% endif %}<th scope="col">Owed since</th><th scope="col">Attempts</th><th scope="col">Next attempt</th></tr></thead><tbody>
{% for it in rows %}<tr id="{{ it.id }}"><th scope="row">{{ it.endpoint }}<br><small>{{ it.id }}</small></th><td><span class="{{ it.class }}"><span aria-hidden="true">{{ it.shape }}</span> {{ it.word }}</span>{% if !it.problem.is_empty() %}<br><small>{{ it.problem }}</small>{% endif %}</td>{% if has_watch %}<td>{% if it.watch.is_empty() %}an account{% else %}<a href="/watches/{{ it.watch }}">watch {{ it.watch }}</a>{% endif %}</td>{% endif %}<td><time datetime="{{ it.since.exact }}">{{ it.since.said }}</time></td><td>{{ it.attempts }}</td><td>{% if let Some(next) = it.next %}<time datetime="{{ next.exact }}">{{ next.said }}</time>{% else %}none{% endif %}</td></tr>
{% endfor %}</tbody></table></div>"##
)]
pub(super) struct Notes {
    pub(super) rows: Vec<NoteRow>,
    pub(super) has_watch: bool,
}

/// A notification.
pub(super) struct NoteRow {
    pub(super) id: String,
    pub(super) endpoint: String,
    pub(super) class: &'static str,
    pub(super) shape: &'static str,
    pub(super) word: &'static str,
    pub(super) problem: String,
    pub(super) watch: String,
    pub(super) since: When,
    pub(super) attempts: u32,
    pub(super) next: Option<When>,
}

/// The page of notifications.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<section aria-labelledby="notes-h"><h2 id="notes-h">Notifications</h2>
<form class="find" aria-label="Notifications" action="/notifications"><div><label for="state">State</label><select id="state" name="state"><option value="">all</option>{% for (word, chosen) in states %}<option{% if *chosen %} selected{% endif %}>{{ word }}</option>{% endfor %}</select></div><button>Show</button></form>
<div id="notes" data-live>{% if table.is_empty() %}<p>There are none.</p>{% else %}{{ table|safe }}{% endif %}<nav class="pager" aria-label="Pages of notifications">{% if !first.is_empty() %}<a href="{{ first }}">First</a>{% endif %}{% if !next.is_empty() %}<a rel="next" href="{{ next }}">Next</a>{% endif %}</nav></div></section>"##
)]
pub(super) struct Notifications {
    pub(super) states: Vec<(&'static str, bool)>,
    pub(super) table: String,
    pub(super) first: String,
    pub(super) next: String,
}

/// The form that asks for a token.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<section class="login" aria-labelledby="login-h"><h2 id="login-h">Log in</h2>{% if !said.is_empty() %}<p role="alert" class="bad">{{ said }}</p>{% endif %}
<p>The daemon's API has a token, and this page takes the same (<code>[server] token-file</code>).</p>
<form method="post" action="/login"><label for="token">Token</label><input id="token" name="token" type="password" autocomplete="current-password" required><button>Log in</button></form>
<p class="dim">You came over a link from elsewhere, and have logged in before? <a href="/">Go on to the page</a>.</p></section>"##
)]
pub(super) struct Login<'a> {
    pub(super) said: &'a str,
}

/// A page that says why there is none.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<h2>{{ title }}</h2><p>{{ detail }}</p><p><a href="/">All watches</a></p>"##
)]
pub(super) struct Failure<'a> {
    pub(super) title: &'a str,
    pub(super) detail: &'a str,
}
