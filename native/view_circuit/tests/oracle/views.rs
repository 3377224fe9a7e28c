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
    /// Does the query say in which order its rows come?
    pub ordered: bool,
}

/// What is compared.
pub fn all() -> Vec<View> {
    let exact = EXACT.iter().map(|sql| View { sql, asked: sql, loose: false, ordered: false });
    let loose = LOOSE.iter().map(|sql| View { sql, asked: sql, loose: true, ordered: false });
    let asked = ASKED.iter().map(|(sql, asked)| {
        let ordered = asked.contains("ORDER BY") && !sql.contains("(SELECT");
        View { sql, asked, loose: true, ordered }
    });
    exact.chain(loose).chain(asked).collect()
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
    "SELECT DISTINCT id FROM users WHERE org = 2",
    "SELECT DISTINCT name, id FROM users",
    "SELECT DISTINCT name FROM users WHERE org > 1",
    "SELECT DISTINCT done FROM todos",
    "SELECT DISTINCT due FROM todos",
    "SELECT DISTINCT title FROM todos",
    "SELECT DISTINCT title, project, weight FROM todos",
    "SELECT DISTINCT u.id FROM users u JOIN todos t ON t.project = u.id",
    "SELECT DISTINCT p.id, u.id FROM users u JOIN projects p ON p.owner = u.id",
    "SELECT DISTINCT org FROM (SELECT DISTINCT id, org FROM users) q",
    "SELECT owner FROM projects UNION SELECT id FROM users",
    "SELECT title FROM todos UNION SELECT name FROM users",
    "SELECT DISTINCT score FROM users",
    "SELECT DISTINCT score, org FROM users WHERE id > 3",
    "SELECT DISTINCT p.rate, p.code, p.budget FROM projects p JOIN users u ON u.id = p.owner",
    "SELECT DISTINCT rate FROM projects",
    "SELECT DISTINCT code || '!' FROM projects",
    "SELECT DISTINCT 1 FROM todos",
    "SELECT DISTINCT ARRAY[score, 2], done FROM users JOIN todos ON id = project",
    "SELECT id FROM users WHERE org IN (SELECT DISTINCT owner FROM projects)",
    "SELECT count(*) FROM users",
    "SELECT count(*), count(org), count(DISTINCT org), sum(org), min(org), max(org), avg(org) FROM users",
    "SELECT org, count(*) FROM users GROUP BY org",
    "SELECT count(*), org FROM users WHERE score > 0 GROUP BY 2",
    "SELECT org + 1 AS next, sum(id), avg(id) FROM users GROUP BY next",
    "SELECT org + 1, sum(score), avg(score), min(score), max(score) FROM users GROUP BY org + 1",
    "SELECT sum(score), avg(score), sum(DISTINCT score), avg(DISTINCT score) FROM users",
    "SELECT score, count(*), min(name), max(name) FROM users GROUP BY score",
    "SELECT name, org, count(DISTINCT score) FROM users GROUP BY name, org",
    "SELECT bool_and(done), bool_or(done), every(weight > 0), count(*) FILTER (WHERE done) FROM todos",
    "SELECT project, bool_or(done), min(due), max(due), min(weight), max(weight) FROM todos \
       GROUP BY project",
    "SELECT code, min(code), max(budget), count(rate) FROM projects GROUP BY code",
    "SELECT rate, count(*) FROM projects GROUP BY rate",
    "SELECT sum(rate), avg(rate), sum(DISTINCT rate) FROM projects WHERE rate <> -1e300",
    "SELECT owner, sum(rate) FROM projects WHERE rate > -1e300 GROUP BY owner",
    "SELECT org, count(*) FROM users GROUP BY org HAVING count(*) > 1 AND max(id) < 10",
    "SELECT max(id) - min(id), count(*) * 2 + 1 FROM users HAVING count(*) > 3",
    "SELECT org FROM users GROUP BY org HAVING sum(score) > 1",
    "SELECT u.id, u.name, count(*) FROM users u JOIN projects p ON p.owner = u.id GROUP BY u.id",
    "SELECT p.code, u.name, sum(t.weight) FILTER (WHERE t.weight > -1e300) FROM users u \
       JOIN projects p ON p.owner = u.id JOIN todos t ON t.project = p.id GROUP BY u.id, p.id",
    "SELECT DISTINCT count(*) FROM users GROUP BY org",
    "SELECT CASE WHEN org > 2 THEN 'many' ELSE 'few' END, avg(id) FROM users \
       GROUP BY CASE WHEN org > 2 THEN 'many' ELSE 'few' END",
    "SELECT upper(name), count(*) FROM users GROUP BY upper(name) HAVING upper(name) <> 'BOB'",
    "SELECT id FROM users WHERE org IN (SELECT count(*) FROM projects GROUP BY owner)",
    "SELECT id FROM users WHERE id NOT IN (SELECT max(id) FROM users GROUP BY org)",
    "SELECT id FROM users WHERE EXISTS (SELECT FROM projects HAVING count(*) > 3)",
    "SELECT id FROM users u WHERE EXISTS (SELECT FROM projects WHERE owner = u.id LIMIT 1)",
    "SELECT org FROM users UNION SELECT id FROM projects",
    "SELECT score FROM users UNION SELECT budget FROM projects UNION SELECT weight::numeric FROM todos \
       WHERE weight IS NULL OR weight NOT IN ('NaN', 'Infinity', -1e300)",
    "SELECT org FROM users UNION ALL SELECT id FROM projects",
    "SELECT id, name FROM users UNION ALL SELECT id, code FROM projects UNION ALL SELECT 0, NULL FROM todos",
    "SELECT org FROM users UNION ALL SELECT org FROM users WHERE org > 2",
    "SELECT org FROM users EXCEPT SELECT id FROM projects",
    "SELECT score FROM users EXCEPT SELECT budget FROM projects",
    "SELECT score FROM users EXCEPT ALL SELECT budget FROM projects",
    "SELECT score FROM users INTERSECT SELECT budget FROM projects",
    "SELECT score, org FROM users INTERSECT ALL SELECT budget, id FROM projects",
    "SELECT org FROM users INTERSECT ALL SELECT owner FROM projects",
    "SELECT org FROM users EXCEPT ALL (SELECT id FROM projects UNION ALL SELECT project FROM todos)",
    "(SELECT id FROM users EXCEPT SELECT owner FROM projects) UNION SELECT project FROM todos",
    "SELECT id FROM users UNION SELECT owner FROM projects INTERSECT SELECT project FROM todos",
    "SELECT 'u' AS kind, id::text FROM users WHERE org = 1 UNION SELECT 'p', code FROM projects",
    "SELECT q.o, q.n FROM (SELECT org AS o, count(*) AS n FROM users GROUP BY org) q WHERE q.n > 1",
    "SELECT u.id, q.n FROM users u JOIN (SELECT owner, count(*) AS n FROM projects GROUP BY owner) q \
       ON q.owner = u.id",
    "SELECT max(n), min(n) FROM (SELECT count(*) AS n FROM todos GROUP BY project) AS q",
    "SELECT * FROM (SELECT id, org FROM users UNION ALL SELECT id, owner FROM projects) x WHERE org > 2",
    "WITH big AS (SELECT * FROM users WHERE org > 1), own AS (SELECT owner FROM projects) \
       SELECT b.id, c.id FROM big b JOIN big c ON b.org = c.org WHERE b.id IN (SELECT owner FROM own)",
];

/// A view whose result several orders of PostgreSQL's could give; and what is asked instead.
const ASKED: &[(&str, &str)] = &[
    (
        "SELECT id, score FROM users ORDER BY score LIMIT 3",
        "SELECT id, score FROM users ORDER BY score, id LIMIT 3",
    ),
    (
        "SELECT id FROM users ORDER BY name DESC NULLS LAST, org LIMIT 4 OFFSET 2",
        "SELECT id FROM users ORDER BY name COLLATE \"C\" DESC NULLS LAST, org, id LIMIT 4 OFFSET 2",
    ),
    (
        "SELECT id, org + 1 AS o FROM users ORDER BY o DESC OFFSET 3",
        "SELECT id, org + 1 AS o FROM users ORDER BY o DESC, id OFFSET 3",
    ),
    (
        "SELECT name, org FROM users ORDER BY score DESC, org NULLS FIRST",
        "SELECT name, org FROM users ORDER BY score DESC, org NULLS FIRST, id",
    ),
    ("SELECT id FROM users LIMIT 5", "SELECT id FROM users ORDER BY id LIMIT 5"),
    (
        "SELECT title, weight FROM todos ORDER BY 2 NULLS FIRST FETCH FIRST 3 ROWS ONLY",
        "SELECT title, weight FROM todos ORDER BY 2 NULLS FIRST, project, title COLLATE \"C\" LIMIT 3",
    ),
    ("SELECT id FROM users ORDER BY id LIMIT 0", "SELECT id FROM users LIMIT 0"),
    ("SELECT id FROM users ORDER BY id OFFSET 100", "SELECT id FROM users OFFSET 100"),
    (
        "SELECT org, count(*) FROM users GROUP BY org ORDER BY count(*) DESC, max(score) LIMIT 2",
        "SELECT org, count(*) FROM users GROUP BY org ORDER BY count(*) DESC, max(score), org LIMIT 2",
    ),
    (
        "SELECT DISTINCT score FROM users ORDER BY score DESC LIMIT 2",
        "SELECT DISTINCT score FROM users ORDER BY score DESC LIMIT 2",
    ),
    (
        "SELECT score FROM users UNION SELECT budget FROM projects ORDER BY score LIMIT 3 OFFSET 1",
        "SELECT score FROM users UNION SELECT budget FROM projects ORDER BY score LIMIT 3 OFFSET 1",
    ),
    (
        "SELECT id, owner FROM projects WHERE owner IN (SELECT id FROM users ORDER BY score LIMIT 2)",
        "SELECT id, owner FROM projects WHERE owner IN (SELECT id FROM users ORDER BY score, id LIMIT 2)",
    ),
    (
        "SELECT u.id, t.title FROM (SELECT * FROM users ORDER BY score DESC LIMIT 4) u, todos t \
           WHERE t.project = u.id",
        "SELECT u.id, t.title FROM (SELECT * FROM users ORDER BY score DESC, id LIMIT 4) u, todos t \
           WHERE t.project = u.id",
    ),
    (
        "SELECT p.id, u.name FROM projects p JOIN users u ON u.id = p.owner ORDER BY u.score, p.rate LIMIT 3",
        "SELECT p.id, u.name FROM projects p JOIN users u ON u.id = p.owner \
           ORDER BY u.score, p.rate, p.id, u.id LIMIT 3",
    ),
];
