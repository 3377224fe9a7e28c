//! The same views in differential dataflow: one worker, native types, each in the way that its
//! documentation and its users recommend. It has no tables, so a hash map finds the old row of an
//! update, which is part of what is measured, as it is of the circuit's step.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use differential_dataflow::VecCollection;
use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::operators::CountTotal;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

use crate::View;
use crate::clock;
use crate::data::{Data, Project, Team, Todo};
use crate::memory::Memory;

/// What a run came to.
pub struct Run {
    /// From the first row until all are in the view.
    pub loading: Duration,
    /// Microseconds of each update on its own.
    pub single: Vec<f64>,
    /// Microseconds of each round of many updates.
    pub rounds: Vec<f64>,
    /// How many changes of the view there were.
    pub told: usize,
    /// Bytes a row of todos, by allocator and process, with the map of rows.
    pub bytes: [f64; 2],
}

type Rows<T> = InputSession<u64, T, isize>;

struct Inputs {
    todos: Rows<Todo>,
    projects: Rows<Project>,
    teams: Rows<Team>,
}

impl Inputs {
    fn advance(&mut self, time: u64) {
        self.todos.advance_to(time);
        self.todos.flush();
        self.projects.advance_to(time);
        self.projects.flush();
        self.teams.advance_to(time);
        self.teams.flush();
    }
}

/// Stages of a top-k: each keeps ten of every group, of which the next has a sixteenth as many.
const STAGES: [u64; 5] = [1 << 16, 1 << 12, 1 << 8, 1 << 4, 1];

fn hash(of: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn top<'s>(
    todos: VecCollection<'s, u64, (i64, i64), isize>,
) -> VecCollection<'s, u64, (i64, i64), isize> {
    let mut rows = todos;
    for groups in STAGES {
        rows = rows
            .map(move |row| (hash(row.1) % groups, row))
            .reduce(|_, rows, out| {
                // In the order of the negated priority, so the first ones are the highest.
                out.extend(rows.iter().take(10).map(|(row, weight)| (**row, *weight)));
            })
            .map(|(_, row)| row);
    }
    rows
}

/// Counts what comes out, and tells when it has come.
fn shown<'s, T: Clone + 'static>(
    view: VecCollection<'s, u64, T, isize>,
    told: &Rc<Cell<usize>>,
    probe: &ProbeHandle<u64>,
) {
    let told = Rc::clone(told);
    view.inspect(move |_| told.set(told.get() + 1)).probe_with(probe);
}

fn build(
    worker: &mut Worker,
    view: View,
    told: &Rc<Cell<usize>>,
    probe: &ProbeHandle<u64>,
) -> Inputs {
    worker.dataflow::<u64, _, _>(|scope| {
        let (todo_input, todos) = scope.new_collection::<Todo, isize>();
        let (project_input, projects) = scope.new_collection::<Project, isize>();
        let (team_input, teams) = scope.new_collection::<Team, isize>();
        match view {
            View::Filter => {
                let rows = todos.filter(|todo| todo.priority > 500_000);
                shown(rows.map(|todo| (todo.id, todo.title)), told, probe);
            }
            View::Join2 => {
                let todos = todos.map(|todo| (todo.project, (todo.id, todo.title)));
                let projects = projects.map(|project| (project.id, project.name));
                let rows = todos
                    .join_map(projects, |_, (id, title), name| (*id, title.clone(), name.clone()));
                shown(rows, told, probe);
            }
            View::Join3 => {
                let todos = todos.map(|todo| (todo.project, (todo.id, todo.title)));
                let projects = projects.map(|project| (project.id, project.team));
                let teams = teams.map(|team| (team.id, team.name));
                let rows = todos
                    .join_map(projects, |_, (id, title), team| (*team, (*id, title.clone())))
                    .join_map(teams, |_, (id, title), name| (*id, title.clone(), name.clone()));
                shown(rows, told, probe);
            }
            View::GroupBy => {
                let weighed =
                    todos.explode(|todo| Some((todo.project, (1, todo.priority as isize))));
                shown(weighed.count_total(), told, probe);
            }
            View::TopK => {
                let rows = top(todos.map(|todo| (-todo.priority, todo.id)));
                shown(rows, told, probe);
            }
        }
        Inputs { todos: todo_input, projects: project_input, teams: team_input }
    })
}

/// Loads the data, then does the updates one by one and those of `batches` in rounds of `each`.
pub fn run(view: View, data: Data, single: Vec<Todo>, batches: Vec<Todo>, each: usize) -> Run {
    timely::execute_directly(move |worker| {
        let told = Rc::new(Cell::new(0));
        let probe = ProbeHandle::new();
        let mut inputs = build(worker, view, &told, &probe);
        let before = Memory::now();
        let start = Instant::now();
        let mut table: HashMap<i64, Todo> = HashMap::new();
        for todo in &data.todos {
            inputs.todos.insert(todo.clone());
            table.insert(todo.id, todo.clone());
        }
        data.projects.iter().for_each(|row| inputs.projects.insert(row.clone()));
        data.teams.iter().for_each(|row| inputs.teams.insert(row.clone()));
        let mut time = 1;
        inputs.advance(time);
        worker.step_while(|| probe.less_than(&time));
        let loading = start.elapsed();
        let bytes = Memory::now().since(before, data.todos.len());
        told.set(0);
        let mut steps = |updates: Vec<Todo>, each: usize| {
            let mut updates = updates.into_iter().peekable();
            let mut times = Vec::new();
            while updates.peek().is_some() {
                let batch: Vec<Todo> = updates.by_ref().take(each).collect();
                let (start, began) = (Instant::now(), clock::processor());
                for todo in batch {
                    if let Some(old) = table.insert(todo.id, todo.clone()) {
                        inputs.todos.remove(old);
                    }
                    inputs.todos.insert(todo);
                }
                time += 1;
                inputs.advance(time);
                worker.step_while(|| probe.less_than(&time));
                let wall = start.elapsed().as_secs_f64();
                times.push(if each == 1 { wall } else { clock::processor() - began } * 1e6);
            }
            times
        };
        let single = steps(single, 1);
        let rounds = steps(batches, each);
        Run { loading, single, rounds, told: told.get(), bytes }
    })
}
