defmodule ShapeRouter.KillWorkload do
  @moduledoc """
  A database for `ShapeRouter.KillTest`: its n-th transaction is the same whoever asks, and so is what a shape's log has
  to say of it.

  A state is `{n, rows}` after n transactions; the LSN of the n-th is `10 * n`.
  """

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Transaction, TruncatedRelation}
  alias ShapeRouter.Changes.UpdatedRecord
  alias ShapeRouter.ShapeLogCollector

  @relation {"public", "todos"}
  @tables [
    {"public.todos", columns: [id: :int8, user_id: :int8, title: :text], primary_key: [:id]}
  ]
  @clauses [nil, "title LIKE 'a%'" | for(user <- 0..4, do: "user_id = #{user}")]
  @titles ~w(apple acorn birch beech)

  @type state :: {non_neg_integer(), %{pos_integer() => map()}}

  @doc "The options of the collector, whoever starts it."
  @spec options(Path.t()) :: keyword()
  def options(dir) do
    # Small, so that there are flushes, checkpoints and chunks all the time.
    [tables: @tables, storage_dir: dir, chunk_bytes_threshold: 8_192, flush_period: 40]
  end

  @doc "Adds the shape whose turn it is, to a collector that was sent everything up to this state."
  @spec add(pid(), pos_integer(), state()) :: :ok
  def add(collector, id, {n, _} = state) do
    clause = clause(n)

    :ok =
      ShapeLogCollector.add_shape(collector, id, {"todos", clause},
        rows: rows(state, clause),
        descriptor: n
      )
  end

  @spec lsn(non_neg_integer()) :: non_neg_integer()
  def lsn(n), do: 10 * n

  @spec empty() :: state()
  def empty, do: {0, %{}}

  @doc "The state after n transactions."
  @spec at(non_neg_integer()) :: state()
  def at(0), do: empty()
  def at(n), do: Enum.reduce(1..n, empty(), fn _, state -> state |> next() |> elem(0) end)

  @doc "All transactions up to the n-th: `{number, steps, the state after it}`."
  @spec history(non_neg_integer()) :: [{pos_integer(), list(), state()}]
  def history(n) do
    {history, _} =
      Enum.map_reduce(1..n//1, empty(), fn number, state ->
        {state, steps} = next(state)
        {{number, steps, state}, state}
      end)

    history
  end

  @doc "The next state, and the steps `{old, new}` of the transaction that leads there."
  @spec next(state()) :: {state(), [{map() | nil, map() | nil} | :truncate]}
  def next({before, rows}) do
    n = before + 1
    # Every transaction has numbers of its own.
    random = :rand.seed_s(:exsss, {n, 17, 4711})
    {count, random} = :rand.uniform_s(if(rem(n, 3) == 0, do: 12, else: 3), random)

    {steps, rows, _} =
      Enum.reduce(1..count, {[], rows, random}, fn position, {steps, rows, random} ->
        {kind, random} = :rand.uniform_s(100, random)
        {values, random} = values(random)
        {chosen, random} = choose(rows, random)
        step = step(kind, n, position, {chosen, map_size(rows)}, values)
        {[step | steps], apply_step(rows, step), random}
      end)

    {{n, rows}, Enum.reverse(steps)}
  end

  defp values(random) do
    {user, random} = :rand.uniform_s(5, random)
    {title, random} = :rand.uniform_s(length(@titles), random)
    {%{"user_id" => "#{user - 1}", "title" => Enum.at(@titles, title - 1)}, random}
  end

  defp choose(rows, random) when map_size(rows) == 0, do: {nil, random}

  defp choose(rows, random) do
    {at, random} = :rand.uniform_s(map_size(rows), random)
    {rows |> Map.keys() |> Enum.sort() |> Enum.at(at - 1) |> then(&rows[&1]), random}
  end

  defp step(kind, n, position, {chosen, size}, values) do
    new_key = "#{100 * n + position}"

    cond do
      kind == 100 and rem(n, 5) == 0 -> :truncate
      chosen == nil -> {nil, Map.put(values, "id", new_key)}
      # Few rows: a shape's log is long by what happens to them.
      kind <= 35 and size < 40 -> {nil, Map.put(values, "id", new_key)}
      kind <= 70 -> {chosen, Map.merge(chosen, values)}
      kind <= 80 -> {chosen, chosen |> Map.merge(values) |> Map.put("id", new_key)}
      true -> {chosen, nil}
    end
  end

  defp apply_step(_rows, :truncate), do: %{}

  defp apply_step(rows, {old, new}) do
    rows = if old, do: Map.delete(rows, key(old)), else: rows
    if new, do: Map.put(rows, key(new), new), else: rows
  end

  defp key(row), do: String.to_integer(row["id"])

  @doc "The transaction from this state on, as a replication source sends it: every third one in fragments."
  @spec transaction(state(), list()) :: [Transaction.t()]
  def transaction({before, _rows}, steps) do
    n = before + 1
    parts = if rem(n, 3) == 0, do: Enum.chunk_every(steps, 3), else: [steps]
    last = length(parts) - 1

    for {part, fragment} <- Enum.with_index(parts) do
      %Transaction{
        lsn: lsn(n),
        xid: n,
        fragment: fragment,
        last?: fragment == last,
        changes: Enum.map(part, &change/1)
      }
    end
  end

  # As under the default replica identity: of what was, the key alone.
  defp change(:truncate), do: %TruncatedRelation{relation: @relation}
  defp change({nil, new}), do: %NewRecord{relation: @relation, record: new}
  defp change({old, nil}), do: %DeletedRecord{relation: @relation, old_key: Map.take(old, ["id"])}

  defp change({old, new}) do
    old_key = if old["id"] != new["id"], do: Map.take(old, ["id"])
    %UpdatedRecord{relation: @relation, record: new, old_key: old_key}
  end

  @doc "The clause that shapes added after n transactions have."
  @spec clause(non_neg_integer()) :: String.t() | nil
  def clause(n), do: Enum.at(@clauses, rem(n, length(@clauses)))

  @doc "The rows that a clause holds."
  @spec rows(state(), String.t() | nil) :: [map()]
  def rows({_n, rows}, clause), do: for({_, row} <- Enum.sort(rows), holds?(clause, row), do: row)

  defp holds?(_clause, nil), do: false
  defp holds?(nil, _row), do: true
  defp holds?("title LIKE 'a%'", row), do: String.starts_with?(row["title"], "a")
  defp holds?("user_id = " <> user, row), do: row["user_id"] == user

  @doc """
  What the log of a shape that was added after `from` transactions has when there were those of the
  history: `{lsn, position, operation, row}`.
  """
  @spec log(String.t() | nil, non_neg_integer(), list()) :: [tuple()]
  def log(clause, from, history) do
    Enum.flat_map(history, fn
      {n, _steps, state} when n == from ->
        for row <- rows(state, clause), do: {0, 0, "insert", row}

      {n, steps, _state} when n > from ->
        entries(clause, n, steps)

      _ ->
        []
    end)
  end

  defp entries(clause, n, steps) do
    portion = if rem(n, 3) == 0, do: 3, else: length(steps)

    for {step, index} <- Enum.with_index(steps),
        position = Bitwise.bsl(div(index, portion), 32) + 2 * rem(index, portion),
        {more, operation, row} <- operations(clause, step),
        do: {lsn(n), position + more, operation, row}
  end

  defp operations(_clause, :truncate), do: [{0, "truncate", nil}]

  defp operations(clause, {old, new}) do
    key = old && Map.take(old, ["id"])

    case {holds?(clause, old), holds?(clause, new)} do
      {false, false} ->
        []

      {false, true} ->
        [{0, "insert", new}]

      {true, false} ->
        [{0, "delete", key}]

      {true, true} ->
        if old["id"] == new["id"],
          do: [{0, "update", new}],
          else: [{0, "delete", key}, {1, "insert", new}]
    end
  end
end
