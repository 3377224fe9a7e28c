defmodule ShapeRouter.TableLogsTest do
  @moduledoc """
  The logs that a collector keeps of the tables of its circuit: their size follows the rows that there are, and
  not what ever happened to them; and nobody but the next opening reads them.
  """
  use ExUnit.Case, async: false

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Transaction, UpdatedRecord}
  alias ShapeRouter.{ShapeLogCollector, WholeLog}

  @moduletag :tmp_dir
  @moduletag timeout: 300_000
  @projects {"public", "projects"}
  @todos {"public", "todos"}
  @tables [
    {"projects", columns: [id: :int8, owner: :int8], primary_key: [:id]},
    {"todos", columns: [id: :int8, project: :int8, title: :text], primary_key: [:id]}
  ]
  @keys 100
  @transactions 1_000

  defp start(dir, opts) do
    opts = Keyword.merge([tables: @tables, storage_dir: dir, compaction_period: 1_000], opts)
    start_supervised!({ShapeLogCollector, opts}, id: make_ref(), restart: :temporary)
  end

  # Which rows there are after n transactions: every key is deleted and inserted, and changes in between.
  defp row(n, key) do
    if rem(n + key, 5) > 0,
      do: %{"id" => "#{key}", "project" => "#{rem(n + key, 3)}", "title" => "title #{n}"}
  end

  defp transaction(n) do
    changes =
      for key <- 1..@keys,
          change = change(row(n - 1, key), row(n, key), %{"id" => "#{key}"}),
          do: change

    %Transaction{lsn: 10 * n, xid: n, changes: changes}
  end

  defp change(nil, nil, _key), do: nil
  defp change(nil, new, _key), do: %NewRecord{relation: @todos, record: new}
  defp change(_old, nil, key), do: %DeletedRecord{relation: @todos, old_key: key}
  # Without what did not change, as a large column comes.
  defp change(_old, %{"project" => "0"} = new, _key),
    do: %UpdatedRecord{relation: @todos, record: Map.delete(new, "title")}

  defp change(_old, new, _key), do: %UpdatedRecord{relation: @todos, record: new}

  # What is there then: a title that was left out is the one from before.
  defp expected(0, key), do: row(0, key)

  defp expected(n, key) do
    case row(n, key) do
      %{"project" => "0"} = row ->
        case expected(n - 1, key) do
          nil -> row
          before -> %{row | "title" => before["title"]}
        end

      row ->
        row
    end
  end

  defp tables(dir), do: Path.wildcard(Path.join(dir, "logs/shapes/ffffffff*"))

  # More than any number while files are put in the place of others.
  defp bytes(dirs) do
    for dir <- dirs, file <- Path.wildcard(Path.join(dir, "**")), reduce: 0 do
      sum ->
        case File.stat(file) do
          {:ok, %{size: size}} when is_integer(sum) -> sum + size
          _ -> :changing
        end
    end
  end

  defp await_less(dir, limit, tries) do
    size = bytes(tables(dir))

    cond do
      size < limit -> size
      tries == 0 -> flunk("#{size} bytes after compaction")
      true -> Process.sleep(50) && await_less(dir, limit, tries - 1)
    end
  end

  defp held(collector, id) do
    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, id)

    for message <- WholeLog.messages(log), reduce: %{} do
      rows ->
        %{"id" => id} = row = message["value"]

        case message["headers"]["operation"] do
          "insert" -> Map.put(rows, id, row)
          "update" -> Map.update!(rows, id, &Map.merge(&1, row))
          "delete" -> Map.delete(rows, id)
        end
    end
  end

  test "a hundred thousand changes of a hundred keys leave the rows, also after a crash", %{
    tmp_dir: dir
  } do
    rows = %{
      @projects => for(id <- 0..2, do: %{"id" => "#{id}", "owner" => "5"}),
      @todos => for(key <- 1..@keys, row = row(0, key), do: row)
    }

    # Segments of a few hundred changes, so that there are some of them when it is compacted.
    opts = [chunk_bytes_threshold: 65_536, fsync: {:interval, 20}]

    collector = start(dir, [load_rows: fn table -> {:ok, nil, rows[table]} end] ++ opts)
    where = "project IN (SELECT id FROM projects WHERE owner = 5)"
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", where})

    changes =
      for n <- 1..@transactions, reduce: 0 do
        changes ->
          transaction = transaction(n)
          send(collector, {:shape_router_source, self(), {:transaction, transaction}})
          if rem(n, 50) == 0, do: await(collector, 10 * n)
          changes + length(transaction.changes)
      end

    # Every fifth key is not there, before and after.
    assert changes == 100_000

    expected =
      for key <- 1..@keys, row = expected(@transactions, key), into: %{}, do: {"#{key}", row}

    assert map_size(expected) == 80
    assert held(collector, 1) == expected
    # Of the log of the shape, which has readers, that cannot be.
    size = await_less(dir, 40_000, 400)
    assert size > 80 * 40
    assert Path.wildcard(Path.join(dir, "logs/shapes/ffffffff*/chunks")) == []
    Process.exit(collector, :kill)

    collector = start(dir, [load_rows: fn _ -> raise "it is in the logs" end] ++ opts)
    assert held(collector, 1) == expected
    # All of it is there: every row leaves, with the title that it has.
    gone = for id <- 0..2, do: %DeletedRecord{relation: @projects, old_key: %{"id" => "#{id}"}}
    :ok = handle(collector, 20_000, gone)
    assert held(collector, 1) == %{}

    :ok =
      handle(collector, 20_010, [%NewRecord{relation: @projects, record: hd(rows[@projects])}])

    assert held(collector, 1) == Map.filter(expected, fn {_, row} -> row["project"] == "0" end)
  end

  defp handle(collector, lsn, changes),
    do: ShapeLogCollector.handle_transaction(collector, %Transaction{lsn: lsn, changes: changes})

  defp await(collector, lsn) do
    if ShapeLogCollector.durable_lsn(collector) < lsn,
      do: Process.sleep(2) && await(collector, lsn)
  end
end
