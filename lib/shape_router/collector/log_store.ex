defmodule ShapeRouter.Collector.LogStore do
  @moduledoc false
  # The directory of a collector's logs, as Elixir sees it.

  alias ShapeRouter.Collector.{Tables, Transaction}
  alias ShapeRouter.{Error, Native, Telemetry}

  @type t :: reference()
  @type stored :: %{
          required(:table) => Tables.name(),
          required(:where) => String.t() | nil,
          required(:handle) => String.t(),
          required(:descriptor) => term(),
          optional(:view) => %{params: list()},
          optional(:circuit) => %{snapshot: term()}
        }

  @typedoc "The table whose rows a log has: of it its name and its key."
  @type whose :: %{
          required(:name) => Tables.name(),
          required(:primary_key) => [String.t()],
          optional(atom()) => term()
        }

  # How many rows are handed over at once.
  @rows 500
  # Logs of ids from here on are tables of the collector's own: nobody reads them but the next opening, so they
  # have neither caches nor chunks, and compaction leaves of them the rows that there are.
  @own_ids 0xFFFF_FFFF_0000_0000

  @doc "The ids of a collector's own logs begin here."
  @spec own_ids() :: non_neg_integer()
  def own_ids, do: @own_ids

  @doc "Opens it; with the records that the routers may lack."
  @spec open(map()) ::
          {:ok, t(), [{non_neg_integer(), pos_integer(), binary()}]} | {:error, Error.t()}
  def open(opts) do
    with {:ok, dir} <- directory(opts.storage_dir),
         :ok <- mkdir(dir) do
      dir |> Native.log_store_open(settings(opts), self()) |> Error.result()
    end
  end

  defp settings(opts) do
    opts
    |> Map.take([
      :fsync,
      :chunk_bytes_threshold,
      :keep_complete_chunks,
      :flush_period,
      :compaction_period,
      :gzip,
      :operation_cache_max_operations,
      :operation_cache_ttl_ms,
      :operation_cache_total_bytes
    ])
    |> Map.put(:tables_from, @own_ids)
  end

  defp directory(dir) when is_binary(dir), do: {:ok, Path.join(dir, "logs")}

  defp directory(dir),
    do: Error.argument("storage_dir is neither nil nor a path: #{inspect(dir)}")

  defp mkdir(dir) do
    with {:error, reason} <- File.mkdir_p(dir) do
      message = "cannot create #{dir}: #{:file.format_error(reason)}"
      {:error, %Error{code: :io_error, message: message}}
    end
  end

  @spec close(t()) :: :ok | {:error, Error.t()}
  def close(store), do: store |> Native.log_store_close() |> Error.result()

  @doc "The logs that are whole, and those that await their rows still."
  @spec logs(t()) ::
          {:ok, [{ShapeRouter.id(), stored()}], [ShapeRouter.id()]} | {:error, Error.t()}
  def logs(store) do
    with logs when is_list(logs) <- Error.result(Native.log_store_logs(store)) do
      {begun, whole} = Enum.split_with(logs, fn {_, _, awaits?} -> awaits? end)
      stored = for {id, descriptor, _} <- whole, do: {id, :erlang.binary_to_term(descriptor)}
      {:ok, Enum.sort(stored), Enum.map(begun, &elem(&1, 0))}
    end
  end

  @spec durable_lsn(t()) :: non_neg_integer()
  def durable_lsn(store), do: Native.log_store_durable(store)

  @doc "Creates logs, those with rows to come first of all. Durable after `keep/2`."
  @spec create(t(), [{ShapeRouter.id(), stored(), rows? :: boolean()}]) ::
          :ok | {:error, Error.t()}
  def create(store, logs) do
    logs = for {id, stored, rows?} <- logs, do: {id, :erlang.term_to_binary(stored), rows?}
    store |> Native.log_store_create(logs) |> Error.result()
  end

  @spec remove(t(), ShapeRouter.id()) :: :ok | {:error, Error.t()}
  def remove(store, id), do: store |> Native.log_store_remove(id) |> Error.result()

  @doc "Writes the rows that a log begins with; their keys, and what `end_rows/2` takes."
  @spec write_rows(t(), ShapeRouter.id(), whose(), Enumerable.t(), (map() -> key)) ::
          {:ok, reference(), [key]} | {:error, Error.t()}
        when key: term()
  def write_rows(store, id, table, rows, key) do
    {schema, name} = table.name
    whose = {schema, name, table.primary_key}

    with {:ok, writer} <- Error.result(Native.log_rows_begin(store, id)),
         {:ok, keys} <- write_all(writer, whose, rows, key) do
      {:ok, writer, keys}
    end
  end

  @doc "Ends the rows of several logs together: they wait for the disk once. Durable after `keep/2`."
  @spec end_rows(t(), [reference()]) :: :ok | {:error, Error.t()}
  def end_rows(_store, []), do: :ok
  def end_rows(store, writers), do: store |> Native.log_rows_end(writers) |> Error.result()

  defp write_all(writer, whose, rows, key) do
    rows
    |> Stream.chunk_every(@rows)
    |> Enum.reduce_while({:ok, []}, fn rows, {:ok, keys} ->
      case Error.result(Native.log_rows_write(writer, whose, rows)) do
        :ok -> {:cont, {:ok, Enum.reduce(rows, keys, &[key.(&1) | &2])}}
        error -> {:halt, error}
      end
    end)
  end

  @doc "Makes durable the routers' records, and everything before."
  @spec keep(t(), [tuple()]) :: :ok | {:error, Error.t()}
  def keep(store, records), do: store |> Native.log_store_keep(records) |> Error.result()

  @doc "The routers have these records in their own directories, durably."
  @spec forget(t(), [{non_neg_integer(), non_neg_integer()}]) :: :ok | {:error, Error.t()}
  def forget(store, upto), do: store |> Native.log_store_release(upto) |> Error.result()

  @doc "Appends a transaction or a fragment of one. It is durable when the owner hears so."
  @spec append(t(), {non_neg_integer(), non_neg_integer(), boolean()}, Transaction.routed(), [
          tuple()
        ]) ::
          :ok | :replay | {:error, Error.t()}
  def append(store, place, routed, records) do
    parts =
      for {%{name: {schema, name}} = table, answered} <- routed, answered != [] do
        {schema, name, table.primary_key, answered}
      end

    store |> Native.log_store_append(place, parts, records) |> Error.result()
  end

  @doc "How many operations have left the logs' caches so far."
  @spec evictions(t()) :: non_neg_integer()
  def evictions(store) do
    case Native.log_store_stats(store) do
      %{"cache_evictions" => count} -> count
      {:error, _closed} -> 0
    end
  end

  @doc false
  # Told now and then, of all logs together: a cache that is full evicts with each operation.
  @spec tell_evicted(integer()) :: :ok
  def tell_evicted(count) when count > 0,
    do: Telemetry.execute([:operation_cache, :evict], %{count: count, depth: nil}, %{shape: :all})

  def tell_evicted(_none), do: :ok
end
