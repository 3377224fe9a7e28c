defmodule ShapeRouter.OperationCache do
  @moduledoc """
  The newest operations of a shape, in memory outside of the VM's heaps.

      cache = ShapeRouter.OperationCache.new(max_operations: 1000)
      :ok = ShapeRouter.OperationCache.append(cache, [{{10, 0}, ~s({"id":1})}, {{10, 2}, ~s({"id":2})}])
      {:ok, ~s([{"id":1},{"id":2}]), {10, 2}} = ShapeRouter.OperationCache.read_since(cache, {0, 0}, 100)

  It answers "everything after X" exactly when it has all of it: when X is not before its *floor*, the
  offset just before its oldest operation, and not behind its newest. An answer is one binary. What is
  evicted is the oldest, by whichever bound is reached first, so an answer has neither gaps nor
  duplicates. Feed it only with what is durable.

  Any number of processes may read and append; an append is seen whole when it returned. The caches of a
  `ShapeRouter.ShapeLogCollector` are its own, and share a budget.

  Each read is told as `[:shape_router, :operation_cache, :hit | :miss]`, and evictions as `[..., :evict]`; see
  `ShapeRouter.Telemetry`.
  """

  alias ShapeRouter.{Error, Native, Options, Telemetry}

  @enforce_keys [:ref]
  defstruct [:ref, :shape]

  @opaque t :: %__MODULE__{ref: reference(), shape: term()}
  @typedoc "`{transaction, operation}`"
  @type offset :: {non_neg_integer(), non_neg_integer()}
  @type stats :: %{
          size: non_neg_integer(),
          bytes: non_neg_integer(),
          floor: offset(),
          oldest_offset: offset() | nil,
          newest_offset: offset() | nil,
          hit_count: non_neg_integer(),
          miss_count: non_neg_integer(),
          evict_count: non_neg_integer(),
          hit_rate: float()
        }

  @defaults [
    max_operations: 1000,
    max_bytes: 16_777_216,
    ttl_ms: 60_000,
    floor: {0, 0},
    shape: nil
  ]
  # Longer lists are read off the scheduler.
  @long 200

  @doc """
  An empty cache. Raises `ShapeRouter.Error` for options that are none. Options:

    * `:max_operations` - default 1000
    * `:max_bytes` - of JSON (default 16,777,216)
    * `:ttl_ms` - how long an operation stays, in milliseconds (default 60,000; `:infinity`)
    * `:floor` - the offset that the first operation follows: what comes after it is all there. Default `{0, 0}`;
      after a restart the last durable offset
    * `:shape` - what telemetry names (default `nil`)
  """
  @spec new(keyword()) :: t()
  def new(opts \\ []) do
    with {:ok, opts} <- Options.merge(opts, @defaults),
         :ok <- positive(:max_operations, opts.max_operations),
         :ok <- positive(:max_bytes, opts.max_bytes),
         {:ok, ttl} <- ttl(opts.ttl_ms),
         :ok <- offset(opts.floor),
         bounds = {opts.max_operations, opts.max_bytes, ttl},
         {:ok, ref} <- Error.result(Native.cache_new(bounds, opts.floor)) do
      %__MODULE__{ref: ref, shape: opts.shape}
    else
      {:error, error} -> raise error
    end
  end

  @doc """
  Appends operations, ascending and behind all that came before: all, or none with `:out_of_order`. `json` is
  not looked into.
  """
  @spec append(t(), [{offset(), binary()}]) :: :ok | {:error, Error.t()}
  def append(%__MODULE__{} = cache, operations) when is_list(operations) do
    with :ok <- operations(operations) do
      appended =
        if long?(operations, @long),
          do: Native.cache_append_dirty(cache.ref, operations),
          else: Native.cache_append(cache.ref, operations)

      case appended do
        {:ok, evicted} -> evicted(cache, evicted)
        {:error, error} -> {:error, Error.from_native(error)}
      end
    end
  end

  defp evicted(_cache, 0), do: :ok
  defp evicted(cache, count), do: told(cache, :evict, count)

  @doc """
  Up to `limit` operations behind `offset`, as one JSON array, and the offset of the last one: to be asked for
  next. Where nothing is newer, `"[]"` and the offset itself. `:miss` where not all of it is here.
  """
  @spec read_since(t(), offset(), non_neg_integer()) ::
          {:ok, json_array :: binary(), offset()} | :miss | {:error, Error.t()}
  def read_since(%__MODULE__{} = cache, offset, limit) when is_integer(limit) and limit >= 0 do
    with :ok <- offset(offset) do
      limit = min(limit, 0xFFFF_FFFF)

      answer =
        with :dirty <- Native.cache_read(cache.ref, offset, limit),
             do: Native.cache_read_dirty(cache.ref, offset, limit)

      told(cache, if(answer == :miss, do: :miss, else: :hit))
      answer
    end
  end

  @doc "What it holds, and how often it could answer. `hit_rate` is between 0 and 1."
  @spec stats(t()) :: stats()
  def stats(%__MODULE__{ref: ref}) do
    {size, bytes, floor, oldest, newest, {hits, misses, evicted}} = Native.cache_stats(ref)

    %{
      size: size,
      bytes: bytes,
      floor: floor,
      oldest_offset: oldest,
      newest_offset: if(oldest, do: newest),
      hit_count: hits,
      miss_count: misses,
      evict_count: evicted,
      hit_rate: if(hits + misses == 0, do: 0.0, else: hits / (hits + misses))
    }
  end

  defp told(cache, event, count \\ 1) do
    # Asking takes a lock that a writer may hold.
    depth = if Telemetry.told?(), do: cache.ref |> Native.cache_stats() |> elem(0)
    measurements = %{count: count, depth: depth}
    Telemetry.execute([:operation_cache, event], measurements, %{shape: cache.shape})
  end

  defp long?([], _left), do: false
  defp long?(_, 0), do: true
  defp long?([_ | rest], left), do: long?(rest, left - 1)

  defp operations([]), do: :ok

  defp operations([{{tx, op}, json} | rest])
       when is_integer(tx) and tx in 0..0xFFFFFFFFFFFFFFFF and is_integer(op) and
              op in 0..0xFFFFFFFFFFFFFFFF and is_binary(json),
       do: operations(rest)

  defp operations([other | _]),
    do: Error.argument("not an operation of the form {{tx, op}, json}: #{inspect(other)}")

  defp operations(_), do: Error.argument("the operations are not a proper list")

  defp offset({tx, op})
       when is_integer(tx) and tx in 0..0xFFFFFFFFFFFFFFFF and is_integer(op) and
              op in 0..0xFFFFFFFFFFFFFFFF,
       do: :ok

  defp offset(other), do: Error.argument("not an offset of the form {tx, op}: #{inspect(other)}")

  defp positive(_name, number) when is_integer(number) and number > 0, do: :ok

  defp positive(name, other),
    do: Error.argument("#{name} is not a positive integer: #{inspect(other)}")

  defp ttl(:infinity), do: {:ok, nil}
  defp ttl(ms) when is_integer(ms) and ms > 0, do: {:ok, ms}

  defp ttl(other),
    do: Error.argument("ttl_ms is neither a positive integer nor :infinity: #{inspect(other)}")
end
