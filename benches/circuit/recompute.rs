//! Each view computed from nothing, as directly as can be: loops over vectors, rows found by their ids
//! as indexes. Whoever runs the query again after each change pays at least this.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::View;
use crate::data::Data;

/// How many rows the view has, and a sum over them, so that nothing is left out.
pub fn run(view: View, data: &Data) -> (usize, i64) {
    let mut found: (usize, i64) = (0, 0);
    let mut row = |value: i64| {
        found.0 += 1;
        found.1 = found.1.wrapping_add(value);
    };
    match view {
        View::Filter => {
            for todo in data.todos.iter().filter(|todo| todo.priority > 500_000) {
                row(todo.id + todo.title.len() as i64);
            }
        }
        View::Join2 => {
            for todo in &data.todos {
                let project = &data.projects[todo.project as usize];
                row(todo.id + project.name.len() as i64);
            }
        }
        View::Join3 => {
            for todo in &data.todos {
                let team = &data.teams[data.projects[todo.project as usize].team as usize];
                row(todo.id + team.name.len() as i64);
            }
        }
        View::GroupBy => {
            let mut groups: HashMap<i64, (i64, i64)> = HashMap::new();
            for todo in &data.todos {
                let group = groups.entry(todo.project).or_default();
                group.0 += 1;
                group.1 += todo.priority;
            }
            groups.values().for_each(|(count, sum)| row(count + sum));
        }
        View::TopK => {
            let mut top = BinaryHeap::new();
            for todo in &data.todos {
                top.push(Reverse((todo.priority, Reverse(todo.id))));
                if top.len() > 10 {
                    top.pop();
                }
            }
            top.iter().for_each(|Reverse((priority, Reverse(id)))| row(priority + id));
        }
    }
    found
}
