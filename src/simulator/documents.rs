//! The documents of the API, as in its specification or as in real answers.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::export::is_finished;
use super::route::Scope;
use super::scenario::{Scenario, Shape};

/// The export that a document is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) scope: Scope,
    pub(super) export_id: Uuid,
    pub(super) created: Timestamp,
    pub(super) ends: Timestamp,
    /// The version that the client asked for, which real links repeat.
    pub(super) version: &'a str,
}

/// What a finished export has to offer.
#[derive(Clone, Debug)]
pub(super) struct Results {
    pub(super) row_count: u32,
    /// None leaves the list out.
    pub(super) files: Option<Vec<ResultFile>>,
}

#[derive(Clone, Debug)]
pub(super) struct ResultFile {
    pub(super) url: String,
    pub(super) file_size: Option<u64>,
    pub(super) row_count: u32,
}

impl Subject<'_> {
    /// The answer to a POST.
    pub(super) fn started(&self) -> Value {
        let (scope, id, version) = (self.scope, self.export_id, self.version);
        let link = match self.scenario.shape {
            // Snyk's specification has this path, which does not exist.
            Shape::Spec => format!("/{scope}/export/jobs/{id}"),
            Shape::Real => format!("/{scope}/jobs/export/{id}?version={version}"),
        };
        let mut data = self.data(json!({ "created": self.created() }));
        data["links"] = json!({ "self": link });
        self.document(data, None)
    }

    /// The answer of the status endpoint.
    pub(super) fn status(&self, status: &str, results: Option<Results>) -> Value {
        let mut attributes = json!({ "status": status });
        // The only known real answer of a finished export lacks these.
        if self.scenario.shape == Shape::Spec || !is_finished(status) {
            attributes["created"] = json!(self.created());
            attributes["formats"] = json!(["csv"]);
        }
        self.add_error(&mut attributes, status);
        add_results(&mut attributes, results);
        let link = match self.scenario.shape {
            // Shortened as on Snyk's page: a client that follows it must fail.
            Shape::Spec => self.results_path(&self.export_id.to_string()[..35]),
            Shape::Real => self.real_link(),
        };
        self.document(self.data(attributes), Some(link))
    }

    /// The answer of the results endpoint, whose words are fewer than those of the status endpoint.
    pub(super) fn results(&self, status: &str, results: Option<Results>) -> Value {
        let status = match status {
            "STARTED" => "PENDING",
            "ERROR" => "ERRORED",
            other => other,
        };
        let mut attributes = json!({ "status": status, "row_count": 0 });
        if self.scenario.shape == Shape::Spec {
            attributes["created"] = json!(self.created());
            attributes["formats"] = json!(["csv"]);
            if results.is_some() {
                attributes["finished"] = json!(self.time(self.ends));
            }
        }
        self.add_error(&mut attributes, status);
        add_results(&mut attributes, results);
        let link = match self.scenario.shape {
            Shape::Spec => self.results_path(&self.export_id.to_string()),
            Shape::Real => self.real_link(),
        };
        self.document(self.data(attributes), Some(link))
    }

    fn document(&self, data: Value, link: Option<String>) -> Value {
        let mut document = json!({ "data": data });
        if self.scenario.shape == Shape::Spec {
            document["jsonapi"] = json!({ "version": "1.0" });
        }
        if let Some(link) = link {
            document["links"] = json!({ "self": link });
        }
        document
    }

    fn data(&self, attributes: Value) -> Value {
        let kind = match self.scenario.shape {
            Shape::Spec => "resource",
            Shape::Real => "export",
        };
        json!({ "type": kind, "id": self.export_id.to_string(), "attributes": attributes })
    }

    fn add_error(&self, attributes: &mut Value, status: &str) {
        if let Some(error) = self.scenario.error_text.as_ref().filter(|_| status.starts_with("ERROR")) {
            attributes["error"] = json!(error);
        }
    }

    fn created(&self) -> String {
        self.time(self.created)
    }

    fn time(&self, time: Timestamp) -> String {
        let zone = if self.scenario.zone_in_created() { "Z" } else { "" };
        format!("{}{zone}", time.strftime("%Y-%m-%dT%H:%M:%S%.3f"))
    }

    fn real_link(&self) -> String {
        format!("{}?version={}", self.results_path(&self.export_id.to_string()), self.version)
    }

    fn results_path(&self, export_id: &str) -> String {
        format!("/{}/export/{export_id}", self.scope)
    }
}

fn add_results(attributes: &mut Value, results: Option<Results>) {
    let Some(results) = results else { return };
    attributes["row_count"] = json!(results.row_count);
    let Some(files) = results.files else { return };
    let file = |file: ResultFile| json!({ "url": file.url, "file_size": file.file_size, "row_count": file.row_count });
    attributes["results"] = files.into_iter().map(file).collect();
}
