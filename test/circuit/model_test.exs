defmodule ShapeRouter.Circuit.ModelTest do
  @moduledoc "Random batches, valid and not, beside a model that works every view out anew."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, Error}

  @moduletag timeout: :timer.minutes(5)
  @seeds 1..8
  @batches 60

  # A view's query, and the same over the model's tables: ids with rows.
  @views %{
    filter: "SELECT id, title FROM todos WHERE NOT done",
    join:
      "SELECT t.title, p.name FROM todos t JOIN projects p ON p.id = t.project_id WHERE p.owner_id < 3",
    in: "SELECT id FROM todos WHERE project_id IN (SELECT id FROM projects WHERE owner_id = 1)",
    not_in: "SELECT id FROM todos WHERE project_id NOT IN (SELECT owner_id FROM projects)",
    not_exists:
      "SELECT name FROM projects p WHERE NOT EXISTS (SELECT 1 FROM todos t WHERE t.project_id = p.id)",
    computed: "SELECT id * 2 AS twice, upper(title) AS title, done IS NULL AS open FROM todos"
  }

  defp model(:filter, %{todos: todos}) do
    for {id, t} <- todos, t.done == false, do: {id, %{"id" => id, "title" => t.title}}
  end

  defp model(:join, %{todos: todos, projects: projects}) do
    for {id, t} <- todos,
        p = projects[t.project_id],
        p.owner_id != nil and p.owner_id < 3,
        do: {[id, t.project_id], %{"title" => t.title, "name" => p.name}}
  end

  defp model(:in, %{todos: todos, projects: projects}) do
    for {id, t} <- todos,
        match?(%{owner_id: 1}, projects[t.project_id]),
        do: {id, %{"id" => id}}
  end

  defp model(:not_in, %{todos: todos, projects: projects}) do
    owners = for {_, p} <- projects, do: p.owner_id

    for {id, t} <- todos,
        owners == [] or
          (nil not in owners and t.project_id != nil and t.project_id not in owners),
        do: {id, %{"id" => id}}
  end

  defp model(:not_exists, %{todos: todos, projects: projects}) do
    used = for {_, t} <- todos, do: t.project_id
    for {id, p} <- projects, id not in used, do: {id, %{"name" => p.name}}
  end

  defp model(:computed, %{todos: todos}) do
    for {id, t} <- todos do
      title = t.title && String.upcase(t.title)
      {id, %{"twice" => id * 2, "title" => title, "open" => t.done == nil}}
    end
  end

  defp pick(list), do: Enum.random(list)

  defp value(:owner_id), do: pick([nil, 1, 2, 3, 4])
  defp value(:project_id), do: pick([nil, 1, 2, 3, 4, 5])
  defp value(:done), do: pick([true, false, nil])
  defp value(_text), do: pick([nil, "", "a", "b"])

  @columns [todos: [:project_id, :title, :done], projects: [:owner_id, :name]]

  defp operation do
    table = pick([:todos, :todos, :projects])
    id = pick(1..6)
    columns = @columns[table]

    case pick(1..10) do
      kind when kind in 1..4 -> {:create, table, id, Map.new(columns, &{&1, value(&1)})}
      kind when kind in 5..6 -> {:delete, table, id}
      7 -> {:update, table, id, %{id: pick(1..6)}}
      _ -> {:update, table, id, columns |> Enum.take_random(2) |> Map.new(&{&1, value(&1)})}
    end
  end

  # The tables afterwards, or the error and which operation has it.
  defp apply_all(tables, operations) do
    operations
    |> Enum.with_index()
    |> Enum.reduce_while({:ok, tables}, fn {operation, at}, {:ok, tables} ->
      case apply_one(tables, operation) do
        {:error, code} -> {:halt, {:error, code, at}}
        tables -> {:cont, {:ok, tables}}
      end
    end)
  end

  defp apply_one(tables, {:create, table, id, record}) do
    if tables[table][id], do: {:error, :duplicate_row}, else: put_in(tables[table][id], record)
  end

  defp apply_one(tables, {:delete, table, id}) do
    if tables[table][id],
      do: update_in(tables[table], &Map.delete(&1, id)),
      else: {:error, :missing_row}
  end

  defp apply_one(tables, {:update, table, id, record}) do
    {new_id, changes} = Map.pop(record, :id, id)
    row = tables[table][id]

    cond do
      row == nil ->
        {:error, :missing_row}

      new_id != id and tables[table][new_id] != nil ->
        {:error, :duplicate_row}

      true ->
        update_in(
          tables[table],
          &(&1 |> Map.delete(id) |> Map.put(new_id, Map.merge(row, changes)))
        )
    end
  end

  # What the records of an update must be, of these rows before and those after.
  defp difference(before, now) do
    ids = (Map.keys(before) ++ Map.keys(now)) |> Enum.uniq() |> Enum.sort()

    for id <- ids, before[id] != now[id] do
      case {before[id], now[id]} do
        {nil, row} -> %{event: :created, id: id, record: row}
        {row, nil} -> %{event: :deleted, id: id, record: row}
        {_, row} -> %{event: :updated, id: id, record: row}
      end
    end
  end

  for seed <- @seeds do
    test "random batches, seed #{seed}" do
      :rand.seed(:exsss, {unquote(seed), 8, 2026})
      circuit = circuit()
      tables = %{todos: %{}, projects: %{}}
      for {id, sql} <- @views, do: view!(circuit, id, sql)

      for {id, sql} <- @views,
          do: view!(circuit, {id, :streaming} |> inspect(), sql, format: :streaming)

      Enum.reduce(1..@batches, {tables, %{}}, fn n, {tables, hashes} ->
        operations = for _ <- 1..pick(1..8), do: operation()
        # Some on the scheduler, some off it: a row that comes and goes.
        passing = [{:create, :tags, [n, "x"], %{}}, {:delete, :tags, [n, "x"]}]
        filler = passing |> List.duplicate(pick([0, 0, 0, 40])) |> Enum.concat()
        {now, hashes} = one(circuit, tables, operations, filler, hashes)
        # Registered on loaded tables, a view has the same rows.
        if rem(n, 20) == 0, do: fresh(circuit, now)
        {now, hashes}
      end)
    end
  end

  defp one(circuit, tables, operations, filler, hashes) do
    before = for {view, _} <- @views, into: %{}, do: {view, Map.new(model(view, tables))}

    case apply_all(tables, operations) do
      {:error, code, at} ->
        seen = seen(circuit)

        assert {:error, %Error{code: ^code, position: ^at}} =
                 Circuit.step(circuit, batch(operations ++ filler))

        assert seen(circuit) == seen
        {tables, hashes}

      {:ok, now} ->
        {:ok, updates} = Circuit.step(circuit, batch(operations ++ filler))
        updates = Map.new(updates, &{&1.view_id, &1})

        hashes =
          for {view, _} <- @views, reduce: hashes do
            hashes ->
              rows = view |> model(now) |> Map.new()
              records = difference(before[view], rows)
              check(circuit, view, updates, rows, records)
              {:ok, hash} = Circuit.hash(circuit, view)
              content = {view, rows}
              # One content, one hash; and no other content has it.
              assert Map.get(hashes, content, hash) == hash
              assert Map.get(hashes, {view, hash}, rows) == rows
              Map.merge(hashes, %{content => hash, {view, hash} => rows})
          end

        {now, hashes}
    end
  end

  defp check(circuit, view, updates, rows, records) do
    streaming = inspect({view, :streaming})

    if records == [] do
      refute is_map_key(updates, view) or is_map_key(updates, streaming)
    else
      assert updates[view].records == records
      assert updates[streaming].records == records
      assert updates[view].ids == rows |> Map.keys() |> Enum.sort()
      assert {:ok, updates[view].hash} == Circuit.hash(circuit, view)
    end

    assert Circuit.rows(circuit, view) == {:ok, Enum.sort(rows)}
  end

  defp fresh(circuit, tables) do
    for {view, sql} <- @views do
      rows = view |> model(tables) |> Enum.sort()
      update = view!(circuit, "fresh", sql)
      assert update.records == for({id, row} <- rows, do: %{event: :created, id: id, record: row})
      assert {:ok, update.hash} == Circuit.hash(circuit, view)
      :ok = Circuit.unregister(circuit, "fresh")
    end
  end
end
