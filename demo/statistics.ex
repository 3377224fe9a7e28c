defmodule ShapeRouter.Demo.Statistics do
  @moduledoc "What was done so far: written by the pipeline, read by everybody."

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Relation, TruncatedRelation, UpdatedRecord}

  @fields [
    # Counted
    :changes,
    :transactions,
    :fragments,
    :operations,
    :route_ns,
    # As of the last transaction
    :lsn,
    :behind_ms,
    # What the changes were
    :inserts,
    :updates,
    :key_changes,
    :left_out,
    :deletes,
    :truncates,
    # What the answers were
    :insert,
    :insert_missing,
    :update,
    :delete,
    :rekey,
    :upsert,
    :delete_if_present,
    :truncate,
    :unknown
  ]
  @index @fields |> Enum.with_index(1) |> Map.new()

  @opaque t :: :atomics.atomics_ref()

  @spec new() :: t()
  def new, do: :atomics.new(length(@fields), signed: true)

  @spec get(t()) :: %{atom() => integer()}
  def get(statistics) do
    Map.new(@index, fn {field, index} -> {field, :atomics.get(statistics, index)} end)
  end

  @doc "So many changes were routed in so much time (of the VM's own unit)."
  def routed(statistics, changes, time) do
    add(statistics, :changes, changes)
    add(statistics, :route_ns, System.convert_time_unit(time, :native, :nanosecond))
  end

  @doc "A transaction, or a fragment of one, was routed and applied."
  def handled(statistics, transaction) do
    add(statistics, :fragments, 1)
    put(statistics, :behind_ms, behind(transaction.commit_timestamp))

    if transaction.last? do
      add(statistics, :transactions, 1)
      put(statistics, :lsn, transaction.lsn)
    end
  end

  defp behind(%DateTime{} = committed) do
    max(0, DateTime.diff(DateTime.utc_now(), committed, :millisecond))
  end

  defp behind(_), do: 0

  @doc "A change was answered so."
  def answered(statistics, change, operations) do
    count_change(statistics, change)
    add(statistics, :operations, length(operations))
    count(operations, statistics)
  end

  defp count_change(statistics, %NewRecord{}), do: add(statistics, :inserts, 1)
  defp count_change(statistics, %DeletedRecord{}), do: add(statistics, :deletes, 1)
  defp count_change(statistics, %TruncatedRelation{}), do: add(statistics, :truncates, 1)
  defp count_change(_statistics, %Relation{}), do: :ok

  defp count_change(statistics, %UpdatedRecord{} = change) do
    add(statistics, :updates, 1)
    if key_changed?(change), do: add(statistics, :key_changes, 1)

    if elem(change.relation, 1) == "todos" and not is_map_key(change.record, "body"),
      do: add(statistics, :left_out, 1)
  end

  defp key_changed?(%{old_record: nil, old_key: old_key}), do: old_key != nil
  defp key_changed?(%{old_record: old, record: record}), do: old["id"] != record["id"]

  # Most changes have a long run of one class.
  defp count([], _statistics), do: :ok

  defp count([{_, op} | rest], statistics) do
    {same, rest} = run(rest, op, 1)
    add(statistics, name(op), same)
    count(rest, statistics)
  end

  defp run([{_, op} | rest], op, n), do: run(rest, op, n + 1)
  defp run(rest, _op, n), do: {n, rest}

  defp name({:insert, missing: _}), do: :insert_missing
  defp name(op), do: op

  defp add(statistics, field, n), do: :atomics.add(statistics, Map.fetch!(@index, field), n)
  defp put(statistics, field, n), do: :atomics.put(statistics, Map.fetch!(@index, field), n)
end
