defmodule ShapeRouter.ShapeLog do
  @moduledoc """
  The log of a shape: what belongs to it, in the order of the WAL, kept in files and served from them.

      {:ok, log} = ShapeRouter.ShapeLog.open("data/todos")
      :ok = ShapeRouter.ShapeLog.append(log, [{{10, 0}, "todos/1", :insert, ~s({"id":1})}])
      {:cached, ~s([{"id":1}]), _headers} = ShapeRouter.ShapeLog.read(log, {0, 0})
      :ok = ShapeRouter.ShapeLog.close(log)

  Offsets are `{transaction, operation}` and strictly ascend. What is appended is durable when `append/2`
  returns; a crash leaves whole transactions.

  The logs of a `ShapeRouter.ShapeLogCollector` are its own: `ShapeRouter.ShapeLogCollector.shape/2` gives them, to be
  read. Whoever reads asks no process.

  ## Reading

  Every answer ends at an offset that its headers tell, and the next one is asked for from there:

  | answer | when |
  |---|---|
  | `{:sendfile, path, position, length, headers}` | a sealed chunk begins at the offset, and has at least 64 KiB |
  | `{:cached, json, headers}` | everything after the offset is in memory; or there is nothing |
  | `{:stream, enumerable, headers}` | otherwise: pieces of one JSON array, read as they are taken |

  A file is held until the reading process calls `release/0`, or ends: a removal waits for it.

  Headers are `{name, value}`: `electric-offset` (where to go on), `electric-up-to-date` (there was nothing
  after that), `etag`, `cache-control`, `content-type`, and where the client may be sent gzip `content-encoding`
  and `vary`.
  """

  alias ShapeRouter.Collector.LogStore
  alias ShapeRouter.{Error, Native, Options, Telemetry}

  @enforce_keys [:store, :id, :handle]
  defstruct [:store, :id, :handle]

  @typedoc "What it consists of is not for users."
  @type t :: %__MODULE__{store: reference(), id: ShapeRouter.id(), handle: String.t()}
  @typedoc "`{transaction, operation}`"
  @type offset :: {non_neg_integer(), non_neg_integer()}
  @type op ::
          :insert
          | :update
          | :delete
          | :rekey
          | :upsert
          | :delete_if_present
          | :truncate
          | :unknown
  @typedoc "`key` is equal for the same row; `json` is what clients are sent, and is not looked into."
  @type entry :: {offset(), key :: binary(), op(), json :: binary()}
  @type headers :: [{String.t(), String.t()}]
  @type answer ::
          {:sendfile, Path.t(), non_neg_integer(), non_neg_integer(), headers()}
          | {:cached, binary(), headers()}
          | {:stream, Enumerable.t(), headers()}

  @leases :"$shape_router_leases"
  # The only log of a directory that has no other.
  @alone 0

  @defaults [
    fsync: :always,
    chunk_bytes_threshold: 10_485_760,
    keep_complete_chunks: 2,
    flush_period: 1000,
    compaction_period: 600_000,
    gzip: false,
    operation_cache_max_operations: 1000,
    operation_cache_ttl_ms: 60_000,
    operation_cache_total_bytes: 67_108_864
  ]

  @doc false
  @spec defaults() :: keyword()
  def defaults, do: @defaults

  @doc """
  Opens the log of a directory, which is created where there is none. One at a time: `:locked` otherwise. It
  belongs to the calling process, and is closed when that ends; any process may read and append. Options: those of `ShapeRouter.ShapeLogCollector.start_link/1` from `:fsync` on.
  """
  @spec open(Path.t(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def open(directory, opts \\ []) do
    with {:ok, opts} <- Options.merge(opts, @defaults),
         {:ok, store, records} <- LogStore.open(Map.put(opts, :storage_dir, directory)),
         {:ok, logs, _} <- LogStore.logs(store) do
      case {records, logs} do
        {[], [{@alone, %{handle: handle}}]} ->
          {:ok, of_store(store, @alone, handle)}

        {[], []} ->
          begin(store)

        _ ->
          _ = LogStore.close(store)
          Error.argument("#{directory} holds the logs of a collector")
      end
    end
  end

  defp begin(store) do
    handle = Base.url_encode64(:crypto.strong_rand_bytes(9), padding: false)
    stored = %{table: {"", ""}, where: nil, handle: handle, descriptor: nil}

    with :ok <- LogStore.create(store, [{@alone, stored, false}]),
         :ok <- LogStore.keep(store, []) do
      {:ok, of_store(store, @alone, handle)}
    end
  end

  @doc false
  @spec of_store(reference(), ShapeRouter.id(), String.t()) :: t()
  def of_store(store, id, handle), do: %__MODULE__{store: store, id: id, handle: handle}

  @doc """
  Appends entries, ascending and behind all that came before; those of a transaction together. Durable when
  it returns `:ok`. `:out_of_order` where they do not follow: nothing of that transaction was appended then.
  """
  @spec append(t(), [entry()]) :: :ok | {:error, Error.t()}
  def append(%__MODULE__{} = log, entries) when is_list(entries) do
    log.store |> Native.log_append(log.id, entries) |> Error.result()
  end

  @doc "Writes to the log's own files what is in memory and in the redo log. It happens by itself."
  @spec flush(t()) :: :ok | {:error, Error.t()}
  def flush(%__MODULE__{} = log), do: log.store |> Native.log_store_flush() |> Error.result()

  @doc "Closes a log that was opened by `open/2`, and gives its directory back."
  @spec close(t()) :: :ok | {:error, Error.t()}
  def close(%__MODULE__{} = log), do: LogStore.close(log.store)

  @doc "The newest offset that may be read."
  @spec newest(t()) :: offset() | {:error, Error.t()}
  def newest(%__MODULE__{} = log), do: log.store |> Native.log_newest(log.id) |> Error.result()

  @doc "What the directory has and has done: of a collector, all its logs together."
  @spec stats(t()) :: %{String.t() => non_neg_integer()} | {:error, Error.t()}
  def stats(%__MODULE__{} = log), do: log.store |> Native.log_store_stats() |> Error.result()

  @doc """
  Collapses what is older than the newest complete chunks: of each row, updates become one. It happens by
  itself, every `:compaction_period`. Returns how many logs were compacted.
  """
  @spec compact(t()) :: {:ok, non_neg_integer()} | {:error, Error.t()}
  def compact(%__MODULE__{} = log), do: log.store |> Native.log_compact() |> Error.result()

  @doc """
  Reads what is behind an offset; `:before_all` is from the beginning. Option: `:gzip` - whether compressed files
  are welcome (default `false`).

  Errors: `:offset_ahead` for an offset that the log has not come to, `:compacted` for one before what is kept,
  `:unknown_shape` where the log was removed: the client begins anew.
  """
  @spec read(t(), offset() | :before_all, keyword()) :: answer() | {:error, Error.t()}
  def read(%__MODULE__{} = log, offset, opts \\ []) do
    with {:ok, opts} <- Options.merge(opts, gzip: false),
         {:ok, behind} <- offset(offset) do
      case native(log, behind, opts.gzip == true) do
        {:sendfile, path, bytes, last, form, {up_to_date?, seq, lease}} ->
          hold(lease, bytes, seq, log)
          {:sendfile, path, 0, bytes, headers(last, up_to_date?) ++ file_headers(form)}

        {:cached, json, last, reason, up_to_date?} ->
          fallback(log, behind, reason, :hit)
          {:cached, json, headers(last, up_to_date?) ++ memory_headers(log, behind, last)}

        {:stream, stream, last, reason, up_to_date?} ->
          fallback(log, behind, reason, :miss)

          {:stream, pieces(stream),
           headers(last, up_to_date?) ++ memory_headers(log, behind, last)}

        :up_to_date ->
          {:cached, "[]", headers(behind, true) ++ memory_headers(log, behind, behind)}

        {:error, error} ->
          {:error, Error.from_native(error)}
      end
    end
  end

  # Who follows a shape asks for little, and that is in memory: then nobody waits for a disk.
  defp native(log, behind, gzip?) do
    with :dirty <- Native.log_read_at_once(log.store, log.id, behind),
         do: Native.log_read(log.store, log.id, behind, gzip?)
  end

  defp headers({tx, op}, up_to_date?) do
    offset = {"electric-offset", "#{tx}_#{op}"}
    up_to_date = if up_to_date?, do: [{"electric-up-to-date", ""}], else: []
    [{"content-type", "application/json; charset=utf-8"}, offset | up_to_date]
  end

  # Compaction may answer the same offset otherwise some day; only what it never touches is immutable.
  defp file_headers({etag, gzip?, immutable?}) do
    caching =
      if immutable?,
        do: "public, max-age=31536000, immutable",
        else: "public, max-age=60, stale-while-revalidate=300"

    encoding = if gzip?, do: [{"content-encoding", "gzip"}], else: []
    [{"etag", etag}, {"cache-control", caching}, {"vary", "accept-encoding"} | encoding]
  end

  # What follows an offset grows: it is asked for again, and not sent again while it is the same.
  defp memory_headers(log, {tx, op}, {last_tx, last_op}) do
    etag = ~s("#{log.handle}:#{tx}_#{op}:#{last_tx}_#{last_op}")
    [{"etag", etag}, {"cache-control", "no-cache"}]
  end

  defp pieces(stream) do
    Stream.resource(
      fn -> :more end,
      fn
        :done ->
          {:halt, :done}

        :more ->
          case Native.log_stream_next(stream) do
            {:more, piece} -> {[piece], :more}
            {:ok, piece} -> {[piece], :done}
            {:error, error} -> raise Error.from_native(error)
          end
      end,
      fn _ -> :ok end
    )
  end

  @doc "The files that this process was given are sent: they may be removed."
  @spec release() :: :ok
  def release do
    for {lease, bytes, seq, shape, started} <- Process.delete(@leases) || [] do
      :ok = Native.log_release(lease)
      Telemetry.served(started, bytes, %{chunk_seq: seq, shape: shape})
    end

    :ok
  end

  defp hold(lease, bytes, seq, log) do
    held = {lease, bytes, seq, log.id, System.monotonic_time()}
    Process.put(@leases, [held | Process.get(@leases, [])])
  end

  defp fallback(log, offset, reason, cache) do
    Telemetry.execute([:sendfile, :fallback], %{count: 1}, %{
      reason: reason,
      offset: offset,
      shape: log.id
    })

    # Asking takes a lock that a writer may hold.
    depth = if Telemetry.told?(), do: Native.log_cache_depth(log.store, log.id)
    Telemetry.execute([:operation_cache, cache], %{count: 1, depth: depth}, %{shape: log.id})
  end

  @doc false
  # What the threads of a store tell.
  @spec tell(tuple()) :: :ok
  def tell({:chunk_sealed, shape, seq, bytes}) do
    Telemetry.execute([:chunk, :seal], %{count: 1, bytes: bytes}, %{shape: shape, chunk_seq: seq})
  end

  def tell({:chunk_seal_failed, shape, message}) do
    Telemetry.execute([:chunk, :seal_failed], %{count: 1}, %{shape: shape, message: message})
  end

  def tell(_other), do: :ok

  @doc "Reads `-1` (from the beginning) or `<tx>_<op>`, as addresses have them."
  @spec parse_offset(String.t()) :: {:ok, offset() | :before_all} | :error
  def parse_offset("-1"), do: {:ok, :before_all}

  def parse_offset(text) do
    with [tx, op] <- String.split(text, "_"),
         {:ok, tx} <- number(tx),
         {:ok, op} <- number(op) do
      {:ok, {tx, op}}
    else
      _ -> :error
    end
  end

  # One text for each offset: addresses are compared and cached as texts.
  defp number("0"), do: {:ok, 0}

  defp number(<<first, _::binary>> = digits) when first in ?1..?9 and byte_size(digits) <= 20 do
    case Integer.parse(digits) do
      {number, ""} when number <= 0xFFFFFFFFFFFFFFFF -> {:ok, number}
      _ -> :error
    end
  end

  defp number(_), do: :error

  defp offset(:before_all), do: {:ok, {0, 0}}

  defp offset({tx, op} = offset)
       when is_integer(tx) and tx in 0..0xFFFFFFFFFFFFFFFF and is_integer(op) and
              op in 0..0xFFFFFFFFFFFFFFFF,
       do: {:ok, offset}

  defp offset(other),
    do: Error.argument("an offset is {tx, op} or :before_all, not #{inspect(other)}")
end
