//! What the circuit costs, beside differential dataflow and beside computing each view anew, in one run.
//!
//! `bin/bench circuit [--quick] [--rows N] [--views N] [--only VIEW]`

mod clock;
mod data;
mod differential;
mod memory;
mod mixed;
mod ours;
mod recompute;
mod threads;
mod values;

use std::time::Instant;

use data::Data;
use memory::Memory;
use ours::Result;

/// The views that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Filter,
    Join2,
    Join3,
    GroupBy,
    TopK,
}

const VIEWS: [(View, &str, &str); 5] = [
    (View::Filter, "filter", "SELECT id, title FROM todos WHERE priority > 500000"),
    (
        View::Join2,
        "2-way join",
        "SELECT t.id, t.title, p.name FROM todos t JOIN projects p ON p.id = t.project_id",
    ),
    (
        View::Join3,
        "3-way join",
        "SELECT t.id, t.title, e.name FROM todos t JOIN projects p ON p.id = t.project_id \
         JOIN teams e ON e.id = p.team_id",
    ),
    (
        View::GroupBy,
        "group by",
        "SELECT project_id, count(*), sum(priority) FROM todos GROUP BY project_id",
    ),
    (View::TopK, "top 10", "SELECT priority, id FROM todos ORDER BY priority DESC, id LIMIT 10"),
];

/// So many updates a round.
const ROUND: usize = 1_000;

/// What the command line asks for.
struct Settings {
    rows: usize,
    views: usize,
    updates: usize,
    /// The one view, by its name, or `mixed` or `values`.
    only: Option<String>,
}

fn settings() -> Result<Settings> {
    let mut settings = Settings { rows: 1_000_000, views: 1_000, updates: 20_000, only: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().ok_or("a number is missing")?;
            text.replace('_', "").parse::<usize>().map_err(|_| "that is no number")
        };
        match argument.as_str() {
            "--quick" => {
                settings = Settings { rows: 100_000, views: 200, updates: 5_000, only: None }
            }
            "--rows" => settings.rows = number()?.max(1_000),
            "--views" => settings.views = number()?,
            "--only" => settings.only = arguments.next(),
            // What cargo adds.
            "--bench" => {}
            other => return Err(format!("there is no option {other}").into()),
        }
    }
    Ok(settings)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn best(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// One view, in a process that is given back its memory: the lines of the two tables.
fn measure(
    (view, name, sql): (View, &str, &str),
    data: &Data,
    settings: &Settings,
) -> Result<[String; 2]> {
    let single = data.updates(settings.updates, 7);
    let rounds = data.updates(20 * ROUND, 8);

    let mut circuit = ours::circuit()?;
    circuit.parallel_from(usize::MAX);
    ours::load(&mut circuit, data)?;
    let loaded = Memory::now();
    let (registered, rows) = ours::register(&mut circuit, 1, sql)?;
    let view_bytes = Memory::now().since(loaded, settings.rows);
    let (mut our_single, mut told) = ours::steps(&mut circuit, &single, 1)?;
    let (mut our_rounds, more) = ours::steps(&mut circuit, &rounds, ROUND)?;
    told += more;
    drop(circuit);

    let theirs = differential::run(view, data.clone(), single, rounds, ROUND);
    let (mut their_single, mut their_rounds) = (theirs.single, theirs.rounds);

    let mut anew = Vec::new();
    for _ in 0..5 {
        let began = clock::processor();
        std::hint::black_box(recompute::run(view, std::hint::black_box(data)));
        anew.push((clock::processor() - began) * 1e6);
    }

    let (our_median, their_median) = (median(&mut our_single), median(&mut their_single));
    let (our_round, their_round) = (median(&mut our_rounds), median(&mut their_rounds));
    let anew = median(&mut anew);
    let first = format!(
        "{name:<11} {our_median:>8.2} {:>8.2} {:>9.2} {:>9.2} {:>7.2} {:>12.0} {:>9.0} {:>8.2} {:>8.2} {:>7.2}",
        best(&our_single),
        their_median,
        best(&their_single),
        our_median / their_median,
        anew,
        anew / our_median,
        our_round / ROUND as f64,
        their_round / ROUND as f64,
        our_round / their_round,
    );
    let second = format!(
        "{name:<11} {rows:>9} {:>10.0} {:>10.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {told:>9} {:>9}",
        registered.as_secs_f64() * 1e3,
        theirs.loading.as_secs_f64() * 1e3,
        view_bytes[0],
        view_bytes[1],
        theirs.bytes[0],
        theirs.bytes[1],
        theirs.told,
    );
    Ok([first, second])
}

fn main() -> Result<()> {
    let settings = settings()?;
    let data = Data::new(settings.rows);
    println!(
        "{} todos, {} projects, {} teams; one worker, one thread; medians of {} updates, and the best",
        data.todos.len(),
        data.projects.len(),
        data.teams.len(),
        settings.updates,
    );

    let before = Memory::now();
    let mut circuit = ours::circuit()?;
    let start = Instant::now();
    ours::load(&mut circuit, &data)?;
    let loading = start.elapsed();
    let rows = data.todos.len() + data.projects.len() + data.teams.len();
    let bytes = Memory::now().since(before, rows);
    drop(circuit);
    println!(
        "tables: {:.0} bytes a row ({:.0} by the process), loaded in {:.1} s, {:.2} us a row",
        bytes[0],
        bytes[1],
        loading.as_secs_f64(),
        loading.as_secs_f64() * 1e6 / rows as f64,
    );

    let mut lines = Vec::new();
    for view in VIEWS.iter().filter(|view| settings.only.as_ref().is_none_or(|only| only == view.1))
    {
        lines.push(measure(*view, &data, &settings)?);
    }
    println!(
        "\nmicroseconds an update: each in a step of its own (by the clock), and 1,000 in a step (of the processor)"
    );
    println!(
        "{:<11} {:>8} {:>8} {:>9} {:>9} {:>7} {:>12} {:>9} {:>8} {:>8} {:>7}",
        "view",
        "circuit",
        "best",
        "differ.",
        "best",
        "ratio",
        "anew",
        "anew/we",
        "circuit",
        "differ.",
        "ratio",
    );
    lines.iter().for_each(|[first, _]| println!("{first}"));
    println!(
        "\nmilliseconds to register on loaded tables (differential: to load), bytes a row of todos"
    );
    println!("that the view takes (differential: with its map of rows), by allocator and process");
    println!(
        "{:<11} {:>9} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "view",
        "rows",
        "register",
        "differ.",
        "circuit",
        "process",
        "differ.",
        "process",
        "told",
        "differ.",
    );
    lines.iter().for_each(|[_, second]| println!("{second}"));

    if settings.views > 0 {
        mixed::run(&data, settings.views)?;
        threads::run()?;
    }
    if settings.only.as_deref().is_none_or(|only| only == "values") {
        values::run(settings.rows / 10)?;
    }
    Ok(())
}
