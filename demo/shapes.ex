defmodule ShapeRouter.Demo.Shapes do
  @moduledoc """
  The shapes: thousands, made from some twenty templates.

  A template's clause is written once, with `$1`, `$2` ... for what differs from shape to shape. A
  shape has them replaced by literals; PostgreSQL, asked about all shapes of a template at once, by
  the columns of a table of parameters.
  """

  alias ShapeRouter.Demo.{Schema, Template}

  @enforce_keys [:id, :table, :template, :values, :where, :known?]
  defstruct [:id, :table, :template, :values, :where, :known?]

  @type t :: %__MODULE__{
          id: pos_integer(),
          table: String.t(),
          template: Template.t(),
          values: [term()],
          where: String.t() | nil,
          known?: boolean()
        }

  # So many shapes are of all templates. What there are more of are narrow ones, whose values spread the
  # wider the more there are: a row of a service with many subscribers has not more of them.
  @of_all_templates 5_000

  @doc "As many shapes as wanted, of all templates by their weights; a seed gives the same again."
  @spec make(pos_integer(), integer()) :: [t()]
  def make(count, seed) do
    :rand.seed(:exsss, seed)
    mixed = min(count, @of_all_templates)
    more = count - mixed
    spread = max(1, div(count, 6 * @of_all_templates))

    mixed = by_weight(narrow(1) ++ broad() ++ with_subqueries(), mixed)

    # Of each template, the router is not told of one shape which rows it holds. Without the old row, an
    # update concerns every shape of which that is not known, so its log has every update of the table.
    mixed =
      for {template, number} <- mixed,
          do: {template, number != 2 or Template.subquery?(template)}

    more = for {template, _number} <- by_weight(narrow(spread), more), do: {template, true}

    (mixed ++ more)
    |> Enum.with_index(1)
    |> Enum.map(fn {{template, known?}, id} -> shape(id, template, known?) end)
    |> Enum.map_reduce(MapSet.new(), &unlike_the_others/2)
    |> elem(0)
  end

  # A shape's log is asked for by table and clause. The same clause in parentheses is another one.
  defp unlike_the_others(shape, seen) do
    address = {shape.table, shape.where}

    if address in seen,
      do: unlike_the_others(%{shape | where: "(#{shape.where || "true"})"}, seen),
      else: {shape, MapSet.put(seen, address)}
  end

  defp by_weight(_templates, 0), do: []

  defp by_weight(templates, count) do
    total = templates |> Enum.map(& &1.weight) |> Enum.sum()

    numbered =
      for template <- templates,
          number <- 1..max(1, round(count * template.weight / total)),
          do: {template, number}

    # Rounding leaves a few too many or too few, which the first template makes up for.
    missing = count - length(numbered)
    [first | _] = templates
    extra = if missing > 0, do: for(number <- 1..missing, do: {first, number}), else: []
    extra ++ Enum.drop(numbered, max(0, -missing))
  end

  defp shape(id, template, known?) do
    values = template.values.()

    %__MODULE__{
      id: id,
      table: template.table,
      template: template,
      values: values,
      where: Template.where(template, values),
      known?: known?
    }
  end

  # Shapes that few rows are in; the wider their values spread, the fewer of them.
  defp narrow(spread) do
    user = fn -> between(0, Schema.users() * spread - 1) end
    project = fn -> between(1, Schema.projects_with_todos() * spread) end

    [
      todos(30, "user_id = $1", ~w(int8), fn -> [user.()] end),
      todos(12, "user_id = $1 AND status = $2", ~w(int8 text), fn -> [user.(), status()] end),
      todos(6, "user_id IN ($1, $2, $3)", ~w(int8 int8 int8), fn ->
        [user.(), user.(), user.()]
      end),
      todos(6, "project_id = $1", ~w(int4), fn -> [project.()] end),
      todos(6, "token = $1", ~w(uuid), fn -> [Schema.token(between(0, 3000 * spread - 1))] end),
      todos(4, "id = $1", ~w(int8), fn -> [between(5, Schema.todos() * 2 * spread)] end),
      todos(4, "priority > $1 AND project_id = $2", ~w(int2 int4), fn ->
        [between(0, 8), project.()]
      end),
      todos(4, "user_id = $1 OR project_id = $2", ~w(int8 int4), fn -> [user.(), project.()] end),
      todos(3, "NOT (status = $1 OR done) AND project_id = $2", ~w(text int4), fn ->
        [status(), project.()]
      end),
      todos(
        2,
        "status IN ($1, $2) AND priority <= $3 AND user_id = $4",
        ~w(text text int2 int8),
        fn ->
          [status(), status(), between(2, 9), user.()]
        end
      ),
      todos(2, "due_at IS NULL AND user_id = $1", ~w(int8), fn -> [user.()] end),
      todos(1, "body IS NOT NULL AND user_id = $1", ~w(int8), fn -> [user.()] end),
      projects(2, "owner_id = $1", ~w(int8), fn -> [between(0, 300 * spread - 1)] end),
      events(3, "todo_id = $1", ~w(int8), fn -> [between(0, 3000 * spread - 1)] end)
    ]
  end

  # Shapes that many rows are in, or that are sought in other ways than by a value.
  defp broad do
    [
      # todos
      todos(2, "amount >= $1 AND amount < $2", ~w(numeric numeric), fn -> amounts() end),
      todos(1, "amount > $1", ~w(numeric), fn ->
        [raw("#{between(995, 999)}.#{between(10, 99)}0")]
      end),
      todos(2, "due_at BETWEEN $1 AND $2", ~w(timestamptz timestamptz), fn -> days() end),
      todos(1, "due_at < $1 AND done = false AND priority IS NOT NULL", ~w(timestamptz), fn ->
        [day(between(1, 3))]
      end),
      todos(1, "done AND score > $1", ~w(float8), fn -> [raw("#{between(97, 99)}.5")] end),
      todos(2, "title LIKE $1", ~w(text), fn -> ["#{word()}-#{between(10, 99)}%"] end),
      todos(1, "title LIKE $1", ~w(text), fn -> ["%-#{between(1, 9)}_ #{word()}%"] end),
      todos(1, "body LIKE $1", ~w(text), fn -> ["#{hex()}#{hex()}%"] end),
      todos(0.1, "id > $1", ~w(int8), fn -> [between(Schema.todos() - 300, Schema.todos())] end),
      todos(0.02, nil, [], fn -> [] end),
      # projects
      projects(1, "name LIKE $1 AND NOT archived", ~w(text), fn -> ["#{word()} %"] end),
      projects(1, "budget > $1 AND region <> $2", ~w(numeric text), fn ->
        [raw("#{between(9000, 9990)}.0"), region()]
      end),
      projects(0.1, "archived", [], fn -> [] end),
      projects(0.04, nil, [], fn -> [] end),
      # events
      events(1, "kind = $1 AND cost < $2", ~w(text numeric), fn ->
        [kind(), raw("0.#{between(10, 99)}")]
      end),
      events(1, "kind IN ($1, $2) AND at >= $3", ~w(text text timestamptz), fn ->
        [kind(), kind(), "2026-01-30 #{between(10, 23)}:30:00+00"]
      end),
      events(0.5, "bucket = $1 AND id < $2", ~w(int2 int8), fn ->
        [between(0, 3), between(50, 500)]
      end),
      events(0.06, nil, [], fn -> [] end)
    ]
  end

  # Shapes that rows enter and leave because another table changes. Few values, so that several share a subquery.
  defp with_subqueries do
    owner = fn -> between(0, 11) end

    [
      todos(0.2, "project_id IN (SELECT id FROM projects WHERE owner_id = $1)", ~w(int8), fn ->
        [owner.()]
      end),
      todos(
        0.15,
        "project_id IN (SELECT id FROM projects WHERE owner_id = $1) OR user_id = $2",
        ~w(int8 int8),
        fn -> [owner.(), between(0, Schema.users() - 1)] end
      ),
      todos(
        0.15,
        "project_id NOT IN (SELECT id FROM projects WHERE NOT archived AND region <> $1) AND priority = $2",
        ~w(text int2),
        fn -> [region(), between(0, 9)] end
      ),
      todos(
        0.1,
        "status = $1 AND NOT (project_id IN (SELECT id FROM projects WHERE owner_id > $2) OR done)",
        ~w(text int8),
        fn -> [status(), between(5, 40)] end
      ),
      todos(
        0.1,
        "project_id IN (SELECT id FROM projects WHERE owner_id IN " <>
          "(SELECT owner_id FROM projects WHERE budget > $1 AND archived))",
        ~w(numeric),
        fn -> [raw("#{between(9950, 9990)}.5")] end
      ),
      projects(0.15, "id IN (SELECT project_id FROM todos WHERE user_id = $1)", ~w(int8), fn ->
        [between(0, 20)]
      end),
      projects(
        0.1,
        "archived AND id NOT IN (SELECT project_id FROM todos WHERE priority = $1 AND status = $2)",
        ~w(int2 text),
        fn -> [between(0, 9), status()] end
      ),
      events(0.15, "todo_id IN (SELECT id FROM todos WHERE user_id < $1)", ~w(int8), fn ->
        [between(5, 30)]
      end)
    ]
  end

  defp todos(weight, clause, types, values), do: template("todos", weight, clause, types, values)

  defp projects(weight, clause, types, values),
    do: template("projects", weight, clause, types, values)

  defp events(weight, clause, types, values),
    do: template("events", weight, clause, types, values)

  defp template(table, weight, clause, types, values) do
    %Template{table: table, weight: weight, clause: clause, types: types, values: values}
  end

  defp between(low, high), do: low + :rand.uniform(high - low + 1) - 1
  defp status, do: Enum.random(~w(open doing waiting done dropped))
  defp region, do: Enum.random(~w(north south east west))
  defp kind, do: Enum.random(~w(view edit share print close))
  defp word, do: Enum.random(Schema.words())
  defp hex, do: Enum.random(~w(0 1 2 3 4 5 6 7 8 9 a b c d e f))
  defp day(days), do: "2026-01-01 00:00:00+00" |> shift(days)
  defp raw(text), do: {:raw, text}

  defp amounts do
    low = between(0, 998)
    [raw("#{low}.#{between(0, 9)}"), raw("#{low + 1}.#{between(0, 9)}00")]
  end

  defp days do
    first = between(0, 355)
    [day(first), day(first + 1)]
  end

  defp shift("2026-01-01 " <> time, days), do: "#{Date.add(~D[2026-01-01], days)} #{time}"
end
