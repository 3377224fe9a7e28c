//! The tables and views that are compared.

/// Name, columns with types, and key.
pub type Description =
    (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

pub const TABLES: &[Description] = &[
    (
        "users",
        &[("id", "bigint"), ("org", "integer"), ("name", "text"), ("score", "numeric")],
        &["id"],
    ),
    (
        "projects",
        &[
            ("id", "integer"),
            ("owner", "bigint"),
            ("budget", "numeric"),
            ("rate", "double precision"),
            ("code", "character(4)"),
        ],
        &["id"],
    ),
    (
        "todos",
        &[
            ("project", "integer"),
            ("title", "character varying"),
            ("weight", "double precision"),
            ("done", "boolean"),
            ("due", "date"),
        ],
        &["project", "title"],
    ),
];

/// A view, and what PostgreSQL is asked.
pub struct View {
    pub sql: &'static str,
    /// Where more must be said to PostgreSQL, so that there is one answer only.
    pub asked: &'static str,
    /// Are values that PostgreSQL takes for equal the same? It shows the one of them that it meets first,
    /// we that which sorts first.
    pub loose: bool,
}

/// What is compared.
pub fn all() -> Vec<View> {
    let exact = EXACT.iter().map(|sql| View { sql, asked: sql, loose: false });
    let loose = LOOSE.iter().map(|sql| View { sql, asked: sql, loose: true });
    exact.chain(loose).collect()
}

const EXACT: &[&str] = &[
    "SELECT * FROM users",
    "SELECT name FROM users WHERE org = 2",
    "SELECT id, upper(name), score * 2 FROM users WHERE score >= 1 OR name IS NULL",
    "SELECT id FROM users WHERE name LIKE 'a%' AND org IN (1, 2)",
    "SELECT u.name, p.code FROM users u JOIN projects p ON p.owner = u.id",
    "SELECT * FROM users u JOIN projects p ON p.owner = u.id AND p.budget > u.score",
    "SELECT u.id, p.id FROM users u, projects p WHERE u.score = p.budget",
    "SELECT u.id, p.id FROM users u, projects p WHERE u.score = p.rate",
    "SELECT u.id, p.id FROM users u, projects p WHERE u.name = p.code",
    "SELECT u.id, v.id FROM users u JOIN users v ON u.org = v.org WHERE u.id < v.id",
    "SELECT u.id, v.id FROM users u JOIN users v ON u.id = v.org",
    "SELECT p.id, q.id FROM projects p JOIN projects q ON p.code = q.code",
    "SELECT p.id, q.id FROM projects p JOIN projects q ON p.rate = q.rate",
    "SELECT u.name, p.id, t.title FROM users u JOIN projects p ON p.owner = u.id \
       JOIN todos t ON t.project = p.id WHERE NOT t.done",
    "SELECT u.id, p.id, t.title FROM users u, todos t, projects p \
       WHERE p.owner = u.id AND t.project = p.id AND u.org + 1 = p.id",
    "SELECT a.id, b.id FROM users a, users b WHERE a.id < b.id AND a.org = 1 AND b.org = 2",
    "SELECT id FROM projects WHERE owner IN (SELECT id FROM users WHERE org = 1)",
    "SELECT id FROM projects WHERE owner NOT IN (SELECT id FROM users WHERE org = 1)",
    "SELECT id FROM users WHERE org NOT IN (SELECT owner FROM projects)",
    "SELECT id FROM users WHERE org IN (SELECT owner FROM projects)",
    "SELECT id FROM users WHERE score NOT IN (SELECT budget FROM projects WHERE budget > 1)",
    "SELECT id FROM users WHERE score IN (SELECT rate FROM projects)",
    "SELECT id FROM users WHERE org + 1 = ANY (SELECT id FROM projects WHERE rate > 0)",
    "SELECT id FROM users u WHERE EXISTS (SELECT 1 FROM projects p WHERE p.owner = u.id)",
    "SELECT id FROM users u WHERE NOT EXISTS (SELECT FROM projects WHERE owner = u.id)",
    "SELECT id FROM users WHERE EXISTS (SELECT * FROM todos WHERE done)",
    "SELECT id FROM users WHERE NOT EXISTS (SELECT * FROM todos WHERE due > '2024-06-01')",
    "SELECT id FROM projects p WHERE (owner, id) IN (SELECT org, id FROM users)",
    "SELECT id FROM users u WHERE org IN (SELECT id FROM projects p WHERE p.budget = u.score)",
    "SELECT id FROM users WHERE org = 1 OR id IN (SELECT owner FROM projects WHERE budget > 1)",
    "SELECT id FROM users WHERE NOT (org = 1 OR id IN (SELECT owner FROM projects))",
    "SELECT id FROM users WHERE (org IN (SELECT owner FROM projects)) IS NULL",
    "SELECT id FROM users u WHERE name IS NULL OR \
       NOT EXISTS (SELECT FROM projects WHERE owner = u.id) AND org NOT IN (SELECT id FROM projects)",
    "SELECT title FROM todos WHERE project IN (SELECT id FROM projects WHERE owner IN \
       (SELECT id FROM users WHERE org = 1))",
    "SELECT title FROM todos WHERE project NOT IN (SELECT id FROM projects WHERE owner NOT IN \
       (SELECT id FROM users WHERE org = 1))",
    "SELECT t.title, p.code FROM todos t JOIN projects p ON p.id = t.project WHERE EXISTS \
       (SELECT FROM users u WHERE u.id = p.owner AND u.name = t.title)",
    "SELECT t.title FROM todos t WHERE due BETWEEN '2024-01-01' AND '2024-12-31'",
    "SELECT coalesce(title, '') || '!', weight / 2 FROM todos WHERE weight <> 0",
    "SELECT id FROM users WHERE org = $1 AND name <> $2",
    "SELECT 'x', 1, NULL, id FROM users WHERE true",
];

const LOOSE: &[&str] = &[
    "SELECT DISTINCT org FROM users",
    "SELECT DISTINCT score FROM users",
    "SELECT DISTINCT score, org FROM users WHERE id > 3",
    "SELECT DISTINCT p.rate, p.code, p.budget FROM projects p JOIN users u ON u.id = p.owner",
    "SELECT DISTINCT rate FROM projects",
    "SELECT DISTINCT code || '!' FROM projects",
    "SELECT DISTINCT 1 FROM todos",
    "SELECT DISTINCT ARRAY[score, 2], done FROM users JOIN todos ON id = project",
    "SELECT id FROM users WHERE org IN (SELECT DISTINCT owner FROM projects)",
];
