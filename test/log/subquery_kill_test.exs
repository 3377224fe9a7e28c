defmodule ShapeRouter.SubqueryKillTest do
  @moduledoc """
  Shapes with subqueries under `kill -9`: a collector whose shapes have `IN` and `NOT IN`, nested and joined, and
  whose inner tables change all the time, is killed at any moment, again and again, also while tables are loaded
  and their logs compacted. After each restart what clients of each shape hold is what its clause selects
  from the tables, as they were after the last transaction that the collector has.
  """
  use ExUnit.Case, async: false

  alias ShapeRouter.{KillLoop, ShapeLog, ShapeLogCollector, WholeLog}
  alias ShapeRouter.SubqueryKillWorkload, as: Workload

  @moduletag :tmp_dir
  @moduletag timeout: 1_800_000

  test("what a clause selects is what its clients hold, whenever it is killed", %{tmp_dir: dir},
    do: cycles(dir, 6)
  )

  @tag :long
  test("so it is a hundred times", %{tmp_dir: dir}, do: cycles(dir, 100))

  defp cycles(dir, count) do
    storage = Path.join(dir, "storage")
    notes = Path.join(dir, "notes")

    {compared, last} =
      Enum.reduce(1..count, {0, 0}, fn cycle, {compared, before} ->
        # Every other time late enough that something comes of it.
        least = if rem(cycle, 2) == 0, do: 40, else: 0
        KillLoop.live_and_die(storage, notes, Enum.random(least..80), Workload)
        {rows, n} = check(storage, notes, cycle)
        assert n >= before
        {compared + rows, n}
      end)

    # It came to something.
    assert last > 10 * count
    assert compared > 5 * count
    lines = notes |> File.read!() |> String.split("\n", trim: true)

    for what <- ~w(added removed loaded),
        do: assert(Enum.any?(lines, &String.starts_with?(&1, what)))
  end

  defp check(storage, notes, cycle) do
    # They are in the logs.
    opts =
      Keyword.put(Workload.options(storage), :load_rows, fn _ -> raise "it is loaded again" end)

    collector = start_supervised!({ShapeLogCollector, opts})
    {acknowledged, shapes, loaded} = noted(notes)
    durable = ShapeLogCollector.durable_lsn(collector)
    assert durable >= acknowledged, "#{acknowledged} was acknowledged, and is lost"
    n = div(durable, 10)
    there = ShapeLogCollector.shapes(collector)

    for {id, what} <- shapes do
      case what do
        "added" -> assert id in there
        "removed" -> refute id in there
        # It was killed in the middle: either is right.
        _ -> :ok
      end
    end

    _ = compare(collector, n, loaded)

    # What is sent again changes nothing.
    before = logs(collector)
    replay(collector, n)
    assert logs(collector) == before

    # What comes next does what it would have done.
    n = n + if(rem(cycle, 2) == 0, do: 7, else: 0)
    replay(collector, n)
    compared = compare(collector, n, loaded)
    :ok = stop_supervised(ShapeLogCollector)
    {compared, n}
  end

  # How many rows there were.
  defp compare(collector, n, loaded) do
    tables =
      for table <- ~w(teams projects todos), into: %{} do
        # A table that was loaded from what comes later is there already.
        {_, rows} = Workload.at(max(n, Map.get(loaded, table, 0)))
        {table, rows[table]}
      end

    for id <- ShapeLogCollector.shapes(collector), reduce: 0 do
      compared ->
        {:ok, shape} = ShapeLogCollector.shape(collector, id)
        expected = Workload.rows(shape.where, tables)
        held = held(shape.log)

        assert held == expected,
               "shape #{id} (#{shape.where}, added after #{shape.descriptor}) after #{n}"

        compared + map_size(held)
    end
  end

  defp noted(notes) do
    for line <- File.stream!(notes), reduce: {0, %{}, %{}} do
      {acknowledged, shapes, loaded} ->
        case line |> String.trim() |> String.split(" ") do
          ["ack", lsn] ->
            {String.to_integer(lsn), shapes, loaded}

          ["loaded", table, n] ->
            {acknowledged, shapes, Map.put(loaded, table, String.to_integer(n))}

          [what, id] ->
            {acknowledged, Map.put(shapes, String.to_integer(id), what), loaded}
        end
    end
  end

  # The last ten transactions up to n.
  defp replay(collector, n) do
    from = max(0, n - 10)

    Enum.reduce((from + 1)..n//1, Workload.at(from), fn _, state ->
      {next, steps} = Workload.next(state)

      for transaction <- Workload.transaction(state, steps),
          do: assert(:ok = ShapeLogCollector.handle_transaction(collector, transaction))

      next
    end)
  end

  defp logs(collector) do
    for id <- ShapeLogCollector.shapes(collector) do
      {:ok, shape} = ShapeLogCollector.shape(collector, id)
      {shape.handle, held(shape.log), ShapeLog.newest(shape.log)}
    end
  end

  # What a client that takes every message at its word ends with.
  defp held(log) do
    for message <- WholeLog.messages(log), reduce: %{} do
      rows ->
        %{"value" => %{"id" => id} = row} = message

        case message["headers"]["operation"] do
          "insert" ->
            refute is_map_key(rows, id)
            Map.put(rows, id, row)

          "update" ->
            assert is_map_key(rows, id)
            Map.update!(rows, id, &Map.merge(&1, row))

          "delete" ->
            assert is_map_key(rows, id)
            Map.delete(rows, id)
        end
    end
  end
end
