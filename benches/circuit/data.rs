//! The tables of the benchmark, their rows, and updates of them: the same for all who are measured.

use shape_router_benches::Random;

/// A row of `todos(id, project_id, owner, priority, title)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Todo {
    pub id: i64,
    pub project: i64,
    pub owner: i64,
    pub priority: i64,
    pub title: String,
}

/// A row of `projects(id, team_id, name)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Project {
    pub id: i64,
    pub team: i64,
    pub name: String,
}

/// A row of `teams(id, name)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Team {
    pub id: i64,
    pub name: String,
}

/// All rows, each under its id.
#[derive(Clone, Debug)]
pub struct Data {
    pub todos: Vec<Todo>,
    pub projects: Vec<Project>,
    pub teams: Vec<Team>,
}

/// Every owner has this many rows of `todos`, about.
pub const TODOS_AN_OWNER: usize = 10;

impl Data {
    /// So many todos, a tenth as many projects, a hundredth as many teams.
    pub fn new(rows: usize) -> Data {
        let mut random = Random(1);
        let (projects, teams) = ((rows / 10).max(1), (rows / 100).max(1));
        let todos = (0..rows as i64).map(|id| todo(id, rows, &mut random)).collect();
        let project = |id| {
            let (team, name) = (random.below(teams as u64) as i64, random.word(12));
            Project { id, team, name }
        };
        let projects = (0..projects as i64).map(project).collect();
        let team = |id| Team { id, name: random.word(12) };
        Data { todos, projects, teams: (0..teams as i64).map(team).collect() }
    }

    /// New rows for random ids of `todos`.
    pub fn updates(&self, count: usize, seed: u64) -> Vec<Todo> {
        let rows = self.todos.len();
        let mut random = Random(seed);
        (0..count)
            .map(|_| {
                let id = random.below(rows as u64) as i64;
                todo(id, rows, &mut random)
            })
            .collect()
    }
}

/// A row of this id, random otherwise.
pub fn todo(id: i64, rows: usize, random: &mut Random) -> Todo {
    Todo {
        id,
        project: random.below((rows as u64 / 10).max(1)) as i64,
        owner: random.below((rows / TODOS_AN_OWNER).max(1) as u64) as i64,
        priority: random.below(1_000_000) as i64,
        title: random.word(20),
    }
}
