defmodule ShapeRouter.KillTest do
  @moduledoc """
  The whole write path under `kill -9`: transactions, also in fragments, and shapes that come and go, in a program
  that is killed at any moment, again and again. What it was told to be durable is there; the log of every
  shape is exactly what it has to be up to one transaction, the same for all of them.
  """
  use ExUnit.Case, async: false

  alias ShapeRouter.{KillLoop, KillWorkload, ShapeLogCollector, WholeLog}

  @moduletag :tmp_dir
  @moduletag timeout: 1_800_000
  @cycles if System.get_env("SHAPE_ROUTER_LONG") == "1", do: 100, else: 15

  test "nothing that was acknowledged is lost, and nothing comes twice", %{tmp_dir: dir} do
    storage = Path.join(dir, "storage")
    notes = Path.join(dir, "notes")

    {handles, last} =
      Enum.reduce(1..@cycles, {%{}, 0}, fn cycle, {handles, before} ->
        KillLoop.live_and_die(storage, notes, Enum.random(0..40), KillWorkload)
        {handles, n} = check(storage, notes, handles, cycle)
        assert n >= before
        {handles, n}
      end)

    # It came to something: every cycle did its part, and shapes were added and removed.
    assert last > 10 * @cycles
    assert map_size(handles) > 0
    lines = notes |> File.read!() |> String.split("\n", trim: true)
    assert Enum.count(lines, &String.starts_with?(&1, "added")) > @cycles
    assert Enum.count(lines, &String.starts_with?(&1, "removed")) > 0
  end

  defp check(storage, notes, handles, cycle) do
    collector = start_supervised!({ShapeLogCollector, KillWorkload.options(storage)})
    {acknowledged, shapes} = noted(notes)
    durable = ShapeLogCollector.durable_lsn(collector)
    assert durable >= acknowledged, "#{acknowledged} was acknowledged, and is lost"
    n = div(durable, 10)
    assert KillWorkload.lsn(n) == durable
    there = ShapeLogCollector.shapes(collector)

    for {id, what} <- shapes do
      case what do
        "added" -> assert id in there
        "removed" -> refute id in there
        # It was killed in the middle: either is right.
        _ -> :ok
      end
    end

    assert Enum.all?(there, &is_map_key(shapes, &1))
    check_logs(collector, n)

    # What is sent again changes nothing: neither the logs nor the shapes' rows.
    replay(collector, n)
    check_logs(collector, n)
    assert ShapeLogCollector.durable_lsn(collector) == durable

    # The next transactions are taken here, and go where those before would have sent them.
    n = n + if(rem(cycle, 2) == 0, do: 3, else: 0)
    replay(collector, n)
    check_logs(collector, n)

    now = for id <- there, into: %{}, do: {id, handle(collector, id)}

    for {id, {handle, added}} <- now do
      # The same shape has the same log as before.
      case handles do
        %{^id => {before, ^added}} -> assert before == handle
        _ -> :ok
      end
    end

    :ok = stop_supervised(ShapeLogCollector)
    {now, n}
  end

  defp handle(collector, id) do
    {:ok, shape} = ShapeLogCollector.shape(collector, id)
    {shape.handle, shape.descriptor}
  end

  defp noted(notes) do
    for line <- File.stream!(notes), reduce: {0, %{}} do
      {acknowledged, shapes} ->
        case line |> String.trim() |> String.split(" ") do
          ["ack", lsn] -> {String.to_integer(lsn), shapes}
          [what, id] -> {acknowledged, Map.put(shapes, String.to_integer(id), what)}
        end
    end
  end

  # The last five transactions up to n.
  defp replay(collector, n) do
    from = max(0, n - 5)

    Enum.reduce((from + 1)..n//1, KillWorkload.at(from), fn _number, state ->
      {next, steps} = KillWorkload.next(state)

      for transaction <- KillWorkload.transaction(state, steps),
          do: assert(:ok = ShapeLogCollector.handle_transaction(collector, transaction))

      next
    end)
  end

  defp check_logs(collector, n) do
    history = KillWorkload.history(n)

    for id <- ShapeLogCollector.shapes(collector) do
      {:ok, shape} = ShapeLogCollector.shape(collector, id)
      logged = entries(shape.log)
      expected = KillWorkload.log(shape.where, shape.descriptor, history)
      assert logged == expected, difference(shape, logged, expected)
      later = for {lsn, position, _, _} <- logged, lsn > 0, do: {lsn, position}
      assert later == Enum.sort(Enum.uniq(later))
    end
  end

  defp difference(shape, logged, expected) do
    "shape #{shape.id} (#{inspect(shape.where)}, added after #{shape.descriptor}): " <>
      "too many #{inspect(Enum.take(logged -- expected, 5))}, " <>
      "missing #{inspect(Enum.take(expected -- logged, 5))}"
  end

  defp entries(log) do
    for message <- WholeLog.messages(log) do
      headers = message["headers"]

      {String.to_integer(headers["lsn"]), headers["op_position"], headers["operation"],
       message["value"]}
    end
  end
end
