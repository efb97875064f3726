# List the recipes.
default:
    @just --list

# Run the gate: exactly what CI runs.
check:
    bash .ci/run

# Format the code.
fmt:
    cargo fmt --all

# Run the lints.
lint:
    cargo clippy --all-targets --locked -- -D warnings

# Run the tests, all or those that ARGS name.
test *ARGS:
    cargo test {{ ARGS }}

# Fuzz TARGET for a time, from the kept corpus.
fuzz TARGET SECONDS="60":
    bash .ci/fuzz {{ SECONDS }} {{ TARGET }}

# Let the daemon live through SEEDS invented worlds, from FIRST on, as fast as it can.
simulate-year SEEDS="1000" FIRST="0":
    SIMULATE_SEEDS={{ FIRST }}+{{ SEEDS }} cargo test --release --lib simulation::seeds -- --ignored --nocapture

# Break the core in small ways and see that a unit test notices each.
mutants *ARGS:
    python3 .ci/mutants.py {{ ARGS }}

# Build the documentation, private items too, and open it.
doc:
    cargo doc --no-deps --document-private-items --locked --open

# See everything at work in one process.
demo:
    cargo run -- demo

# Serve a local Export API with faults to try things on.
simulate *ARGS:
    cargo run -- simulate {{ ARGS }}

# Check dependencies, advisories included, against the database of today.
deny:
    cargo deny check

# Build the artefact that users run.
dist:
    cargo build --profile dist --locked

# Build the container image and prove that it is what it should be: without a Docker engine, as root.
image:
    bash .ci/image

# Prove the daemon's API and metrics from outside, with schemathesis and promtool.
api SEED="1":
    bash .ci/api {{ SEED }}

# Prove the daemon's notifications from outside, with the reference libraries of another language.
notify:
    bash .ci/notify

# Measure the daemon at scale.
bench-daemon *ARGS:
    cargo bench --bench daemon -- {{ ARGS }}
