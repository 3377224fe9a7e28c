defmodule ShapeRouter.Demo.Statistics do
  @moduledoc """
  What was done so far. The service counts what it takes; whoever started it has the sums over all its
  lives.
  """

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Relation, TruncatedRelation, UpdatedRecord}

  @counters [
    :changes,
    :transactions,
    :fragments,
    # Transactions that were in the logs already
    :sent_again,
    # What the changes were
    :inserts,
    :updates,
    :key_changes,
    :left_out,
    :deletes,
    :truncates,
    # Of the logs
    :entries,
    :flushes,
    :rows_read
  ]
  # As of now
  @gauges [:lsn, :behind_ms]
  @fields @counters ++ @gauges
  @index @fields |> Enum.with_index(1) |> Map.new()

  @opaque t :: :atomics.atomics_ref()

  @spec new() :: t()
  def new, do: :atomics.new(length(@fields), signed: true)

  @spec get(t()) :: %{atom() => integer()}
  def get(statistics) do
    Map.new(@index, fn {field, index} -> {field, :atomics.get(statistics, index)} end)
  end

  @doc "What an earlier life of the service counted, and what this one did."
  @spec put(t(), map(), map()) :: :ok
  def put(statistics, before, counts) do
    for field <- @counters, do: put_one(statistics, field, before[field] + counts[field])
    for field <- @gauges, do: put_one(statistics, field, max(counts[field], 0))
    :ok
  end

  @doc "A transaction, or a fragment of one, came that is new."
  @spec taken(t(), map()) :: :ok
  def taken(statistics, transaction) do
    add(statistics, :fragments, 1)
    if transaction.last?, do: add(statistics, :transactions, 1)
    put_one(statistics, :behind_ms, behind(transaction.commit_timestamp))
    add(statistics, :changes, length(transaction.changes))
    Enum.each(transaction.changes, &count_change(statistics, &1))
  end

  @doc "One came that was in the logs before a crash."
  @spec sent_again(t(), map()) :: :ok
  def sent_again(statistics, transaction) do
    if transaction.last?, do: add(statistics, :sent_again, 1)
    :ok
  end

  defp behind(%DateTime{} = committed) do
    max(0, DateTime.diff(DateTime.utc_now(), committed, :millisecond))
  end

  defp behind(_), do: 0

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

  defp add(statistics, field, n), do: :atomics.add(statistics, Map.fetch!(@index, field), n)
  defp put_one(statistics, field, n), do: :atomics.put(statistics, Map.fetch!(@index, field), n)
end
