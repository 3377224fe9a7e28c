defmodule ShapeRouter.SubqueryKillWorkload do
  @moduledoc """
  A database for `ShapeRouter.SubqueryKillTest`: three tables, of which two are inside of subqueries. Its n-th
  transaction is the same whoever asks; which rows a clause holds is found by going through all of them.

  A state is `{n, rows}` after n transactions, `rows` by table and key; the LSN of the n-th is `10 * n`.
  """

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Transaction, TruncatedRelation}
  alias ShapeRouter.Changes.UpdatedRecord
  alias ShapeRouter.ShapeLogCollector

  @tables [
    {"teams", columns: [id: :int8, open: :bool], primary_key: [:id]},
    {"projects", columns: [id: :int8, team: :int8, owner: :int8], primary_key: [:id]},
    {"todos",
     columns: [id: :int8, project: :int8, user_id: :int8, title: :text], primary_key: [:id]}
  ]
  @names ~w(teams projects todos)
  # So far ahead of what the collector has handled is the database, when its rows are loaded.
  @ahead 30
  @clauses [
    "project IN (SELECT id FROM projects WHERE owner = 1)",
    "project NOT IN (SELECT id FROM projects WHERE owner = 2)",
    # Where there may be a NULL in the set.
    "project NOT IN (SELECT team FROM projects WHERE owner = 3)",
    "project IN (SELECT id FROM projects WHERE team IN (SELECT id FROM teams WHERE open))",
    "project NOT IN (SELECT id FROM projects WHERE team NOT IN (SELECT id FROM teams WHERE open))",
    "project IN (SELECT id FROM projects WHERE owner = 1) AND user_id NOT IN (SELECT id FROM teams WHERE open)",
    "title = 'apple' AND project IN (SELECT id FROM projects WHERE team = 2)"
  ]

  @type state :: {non_neg_integer(), %{String.t() => %{String.t() => map()}}}

  @doc "The options of the collector. Rows are only loaded from a state that was put there: see `add/3`."
  @spec options(Path.t()) :: keyword()
  def options(dir) do
    # Small, so that there are flushes, checkpoints and compactions all the time.
    [
      tables: @tables,
      storage_dir: dir,
      chunk_bytes_threshold: 8_192,
      flush_period: 40,
      compaction_period: 60,
      load_rows: &load(dir, &1)
    ]
  end

  defp load(dir, {"public", table}) do
    {n, rows} = :persistent_term.get(__MODULE__)
    # From here on the table's rows are those of this state; what comes before that is in them.
    notes = Path.join(Path.dirname(dir), "notes")
    :ok = File.write(notes, "loaded #{table} #{n}\n", [:append])
    {:ok, lsn(n) + 1, Map.values(rows[table])}
  end

  @doc "Adds the shape whose turn it is, to a collector that was sent everything up to this state."
  @spec add(pid(), pos_integer(), state()) :: :ok
  def add(collector, id, {n, _} = state) do
    ahead = Enum.reduce(1..@ahead, state, fn _, state -> state |> next() |> elem(0) end)
    :persistent_term.put(__MODULE__, ahead)

    :ok =
      ShapeLogCollector.add_shape(collector, id, {"todos", Enum.at(@clauses, rem(n, 7))},
        descriptor: n
      )
  end

  @spec lsn(non_neg_integer()) :: non_neg_integer()
  def lsn(n), do: 10 * n

  @spec empty() :: state()
  def empty, do: {0, Map.new(@names, &{&1, %{}})}

  @doc "The state after n transactions."
  @spec at(non_neg_integer()) :: state()
  def at(n), do: Enum.reduce(1..n//1, empty(), fn _, state -> state |> next() |> elem(0) end)

  @doc "The next state, and the steps `{table, old, new}` of the transaction that leads there."
  @spec next(state()) :: {state(), [tuple()]}
  def next({before, rows}) do
    n = before + 1
    random = :rand.seed_s(:exsss, {n, 23, 8086})
    {count, random} = :rand.uniform_s(if(rem(n, 3) == 0, do: 9, else: 4), random)

    {steps, rows, _} =
      Enum.reduce(1..count, {[], rows, random}, fn position, {steps, rows, random} ->
        {table, random} = pick(["teams", "projects", "projects", "todos", "todos"], random)
        {kind, random} = :rand.uniform_s(100, random)
        {chosen, random} = choose(rows[table], random)
        {new, random} = row(table, random)
        step = step(table, kind, {n, position}, chosen, map_size(rows[table]), new)
        {[step | steps], apply_step(rows, step), random}
      end)

    {{n, rows}, Enum.reverse(steps)}
  end

  defp pick(list, random) do
    {at, random} = :rand.uniform_s(length(list), random)
    {Enum.at(list, at - 1), random}
  end

  defp choose(rows, random) when map_size(rows) == 0, do: {nil, random}

  defp choose(rows, random) do
    {key, random} = rows |> Map.keys() |> Enum.sort() |> pick(random)
    {rows[key], random}
  end

  defp row("teams", random) do
    {open, random} = pick(["t", "f", "f"], random)
    {%{"open" => open}, random}
  end

  defp row("projects", random) do
    {team, random} = pick([nil, "1", "2", "3", "4"], random)
    {owner, random} = pick(["1", "2", "3", "4"], random)
    {%{"team" => team, "owner" => owner}, random}
  end

  defp row("todos", random) do
    {project, random} = pick([nil | Enum.map(1..9, &"#{&1}")], random)
    {user, random} = pick(["1", "2", "3"], random)
    {title, random} = pick(["apple", "birch"], random)
    {%{"project" => project, "user_id" => user, "title" => title}, random}
  end

  # Few keys of what is inside, so that todos meet them.
  defp keys("teams"), do: 4
  defp keys("projects"), do: 9
  defp keys("todos"), do: 30

  defp step(table, kind, {n, position}, chosen, size, new) do
    key = "#{rem(7 * n + position, keys(table)) + 1}"

    cond do
      kind == 100 and rem(n, 4) == 0 -> {table, :truncate}
      chosen == nil -> {table, nil, Map.put(new, "id", key)}
      kind <= 45 and size < keys(table) -> {table, :free, new}
      kind <= 70 -> {table, chosen, Map.merge(chosen, new)}
      kind <= 80 -> {table, chosen, :free, Map.merge(chosen, new)}
      true -> {table, chosen, nil}
    end
  end

  # Which keys are free is known where it is applied: the step is told as it happened.
  defp apply_step(rows, {table, :truncate}), do: %{rows | table => %{}}
  defp apply_step(rows, {_table, :free, _new} = step), do: apply_step(rows, settled(rows, step))
  defp apply_step(rows, {_table, _, :free, _} = step), do: apply_step(rows, settled(rows, step))

  defp apply_step(rows, {table, old, new}) do
    rows = if old, do: update_in(rows[table], &Map.delete(&1, old["id"])), else: rows
    if new, do: put_in(rows[table][new["id"]], new), else: rows
  end

  defp settled(rows, {table, :free, new}), do: {table, nil, Map.put(new, "id", free(rows, table))}

  defp settled(rows, {table, old, :free, new}) do
    key = if map_size(rows[table]) < keys(table), do: free(rows, table), else: old["id"]
    {table, old, Map.put(new, "id", key)}
  end

  defp settled(_rows, step), do: step

  defp free(rows, table),
    do: Enum.find_value(1..keys(table), &if(not is_map_key(rows[table], "#{&1}"), do: "#{&1}"))

  @doc "The transaction from this state on, as a replication source sends it: every third one in fragments."
  @spec transaction(state(), list()) :: [Transaction.t()]
  def transaction({before, rows}, steps) do
    n = before + 1

    {changes, _} =
      Enum.map_reduce(steps, rows, fn step, rows ->
        step = settled(rows, step)
        {change(step, n), apply_step(rows, step)}
      end)

    parts = if rem(n, 3) == 0, do: Enum.chunk_every(changes, 2), else: [changes]
    last = length(parts) - 1

    for {part, fragment} <- Enum.with_index(parts) do
      %Transaction{
        lsn: lsn(n),
        xid: n,
        fragment: fragment,
        last?: fragment == last,
        changes: part
      }
    end
  end

  # As under the default replica identity; a title that did not change is left out as a large one is.
  defp change({table, :truncate}, _n), do: %TruncatedRelation{relation: {"public", table}}
  defp change({table, nil, new}, _n), do: %NewRecord{relation: {"public", table}, record: new}

  defp change({table, old, nil}, _n),
    do: %DeletedRecord{relation: {"public", table}, old_key: Map.take(old, ["id"])}

  defp change({table, old, new}, n) do
    old_key = if old["id"] != new["id"], do: Map.take(old, ["id"])

    record =
      if rem(n, 2) == 0 and new["title"] == old["title"], do: Map.delete(new, "title"), else: new

    %UpdatedRecord{relation: {"public", table}, record: record, old_key: old_key}
  end

  @doc "The rows of todos that a clause holds, by key, of these tables' rows."
  @spec rows(String.t(), %{String.t() => %{String.t() => map()}}) :: %{String.t() => map()}
  def rows(clause, tables) do
    number = Enum.find_index(@clauses, &(&1 == clause))
    Map.filter(tables["todos"], fn {_, todo} -> holds(number, todo, tables) == true end)
  end

  defp holds(0, todo, tables), do: within(todo["project"], projects(tables, "owner", "1"))
  defp holds(1, todo, tables), do: outside(todo["project"], projects(tables, "owner", "2"))

  defp holds(2, todo, tables) do
    teams = for {_, %{"owner" => "3", "team" => team}} <- tables["projects"], do: team
    outside(todo["project"], teams)
  end

  defp holds(3, todo, tables) do
    projects =
      for {id, %{"team" => team}} <- tables["projects"],
          within(team, open(tables)) == true,
          do: id

    within(todo["project"], projects)
  end

  defp holds(4, todo, tables) do
    projects =
      for {id, %{"team" => team}} <- tables["projects"],
          outside(team, open(tables)) == true,
          do: id

    outside(todo["project"], projects)
  end

  defp holds(5, todo, tables),
    do: holds(0, todo, tables) == true and outside(todo["user_id"], open(tables)) == true

  defp holds(6, todo, tables),
    do: todo["title"] == "apple" and within(todo["project"], projects(tables, "team", "2"))

  defp projects(tables, column, value),
    do: for({id, %{^column => ^value}} <- tables["projects"], do: id)

  defp open(tables), do: for({id, %{"open" => "t"}} <- tables["teams"], do: id)

  # PostgreSQL's IN and NOT IN: `nil` is NULL.
  defp within(_value, []), do: false
  defp within(nil, _set), do: nil

  defp within(value, set) do
    cond do
      value in set -> true
      nil in set -> nil
      true -> false
    end
  end

  defp outside(value, set) do
    with in? when in? != nil <- within(value, set), do: not in?
  end
end
