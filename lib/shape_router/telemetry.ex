defmodule ShapeRouter.Telemetry do
  @moduledoc """
  What the library tells while it works.

  Events are `:telemetry` events where the host has that application; nothing is needed otherwise. The
  same is counted here, for `ShapeRouter.Prometheus`.

  | event | measurements | metadata |
  |---|---|---|
  | `[:shape_router, :route]` (one call in 64) | `duration` (native time unit), `hits` | `source`: `:router`, `:filter` |
  | `[:shape_router, :rebuild, :start]` | `system_time` | `router` |
  | `[:shape_router, :rebuild, :stop]` | `duration` | `router`, `result` |
  | `[:shape_router, :eval, :error]` | `count` | `table`, and `tenant` or `error` |
  | `[:shape_router, :filter, :difference]` | `count` | `kind`: `:missing`, `:extra`; `table`, `clause`, `columns`, `shape`, `change` |
  | `[:shape_router, :filter, :failed]` | `count` | `error`, `change` |
  | `[:shape_router, :filter, :refused]` | `count` | `shape`, `table`, `clause`, `error` |
  | `[:shape_router, :filter, :unreadable]` | `count` | `table`, `error` |
  | `[:shape_router, :operation_cache, :hit]` | `count`, `depth` (operations in the cache) | `shape` |
  | `[:shape_router, :operation_cache, :miss]` | `count`, `depth` | `shape` |
  | `[:shape_router, :operation_cache, :evict]` | `count`, `depth` | `shape`; of a collector every five seconds, all its shapes together: `:all` |
  | `[:shape_router, :sendfile, :serve]` | `duration`, `bytes` | `chunk_seq`, `shape` |
  | `[:shape_router, :sendfile, :fallback]` | `count` | `reason`: `:not_aligned`, `:not_sealed`, `:too_small`, `:damaged`; `offset`, `shape` |
  | `[:shape_router, :chunk, :seal]` | `count`, `bytes` | `chunk_seq`, `shape` |
  | `[:shape_router, :chunk, :seal_failed]` | `count` | `shape`, `message` |
  | `[:shape_router, :circuit, :step]` (one call in 64) | `duration`, `operations`, `views` and `records` that changed | |
  | `[:shape_router, :circuit, :refused]` | `count` | `code`, of the error: of a step or a registration |
  | `[:shape_router, :limit, :reached]` | `count` | `tenant`, `limit`: `:max_shapes`, `:max_bytes`, `:max_routers` |

  A router counts by itself what its clauses raise; every ten seconds (`config :shape_router,
  telemetry_interval: 10_000`, in milliseconds) what came since is told as `[:shape_router, :eval, :error]`. That concerns
  the routers of filters and of `ShapeRouter.Registry`, and those that `watch/2` names.
  """

  alias ShapeRouter.Telemetry.Server

  @table Server.table()
  @every 64
  @calls :"$shape_router_calls"
  # Upper ends, in nanoseconds.
  @buckets for(exponent <- 2..9, digit <- [1, 2, 5], do: digit * Integer.pow(10, exponent))

  @type labels :: [tenant: String.t(), table: String.t()]

  @doc "The names of all events."
  @spec events() :: [[atom()]]
  def events do
    for event <- [
          [:route],
          [:rebuild, :start],
          [:rebuild, :stop],
          [:eval, :error],
          [:filter, :difference],
          [:filter, :failed],
          [:filter, :refused],
          [:filter, :unreadable],
          [:operation_cache, :hit],
          [:operation_cache, :miss],
          [:operation_cache, :evict],
          [:sendfile, :serve],
          [:sendfile, :fallback],
          [:chunk, :seal],
          [:chunk, :seal_failed],
          [:circuit, :step],
          [:circuit, :refused],
          [:limit, :reached]
        ],
        do: [:shape_router | event]
  end

  @doc """
  Adds a router to what is told and exposed, until `unwatch/1`, or until the calling process ends.
  """
  @spec watch(ShapeRouter.t(), labels()) :: :ok
  def watch(router, labels), do: Server.watch(router, Map.new(labels), self())

  @doc "Takes a router out again."
  @spec unwatch(ShapeRouter.t()) :: :ok
  def unwatch(router), do: Server.unwatch(router)

  @doc false
  @spec execute([atom()], map(), map()) :: :ok
  def execute(event, measurements, metadata) do
    count([:events, event, label(event, metadata)], Map.get(measurements, :count, 1))
    tell(event, measurements, metadata)
  end

  # What a counter of this event is kept apart by.
  defp label([:filter, :difference], metadata), do: [kind: metadata.kind]
  defp label([:sendfile, :fallback], metadata), do: [reason: metadata.reason]
  defp label([:limit, :reached], metadata), do: [tenant: metadata.tenant, limit: metadata.limit]
  defp label([:circuit, :refused], metadata), do: [code: metadata.code]
  defp label(_event, _metadata), do: []

  @doc false
  @spec tell([atom()], map(), map()) :: :ok
  def tell(event, measurements, metadata) do
    if told?() do
      apply(:telemetry, :execute, [[:shape_router | event], measurements, metadata])
    end

    :ok
  end

  @doc false
  # Whether the host has `:telemetry`. It was loaded when this application started: asking for a module
  # that is nowhere costs a search of all paths.
  @spec told?() :: boolean()
  def told?, do: function_exported?(:telemetry, :execute, 3)

  @doc false
  # The time, if this call is one of those that are told.
  @spec sample() :: integer() | nil
  def sample do
    case Process.get(@calls, 1) do
      @every ->
        Process.put(@calls, 1)
        System.monotonic_time()

      calls ->
        Process.put(@calls, calls + 1)
        nil
    end
  end

  @doc false
  # Counted only: it happens too often to be told.
  @spec compared() :: :ok
  def compared, do: count([:events, [:filter, :compared], []], 1)

  @doc false
  @spec routed(integer(), non_neg_integer(), %{source: atom()}) :: :ok
  def routed(started, hits, metadata) do
    duration = System.monotonic_time() - started
    observe(:route, [source: metadata.source], duration)
    tell([:route], %{duration: duration, hits: hits}, metadata)
  end

  @doc false
  @spec stepped(integer(), non_neg_integer(), [ShapeRouter.ViewUpdate.t()]) :: :ok
  def stepped(started, operations, updates) do
    duration = System.monotonic_time() - started
    observe(:circuit_step, [], duration)

    if told?() do
      records = Enum.reduce(updates, 0, &(length(&1.records) + &2))
      views = length(updates)
      figures = %{duration: duration, operations: operations, views: views, records: records}
      tell([:circuit, :step], figures, %{})
    end

    :ok
  end

  @doc false
  # Runs something between its `:start` and its `:stop`.
  @spec span(atom(), map(), (() -> result)) :: result when result: term()
  def span(name, metadata, run) do
    started = System.monotonic_time()
    tell([name, :start], %{system_time: System.system_time()}, metadata)
    result = run.()
    duration = System.monotonic_time() - started
    observe(name, [], duration)
    tell([name, :stop], %{duration: duration}, Map.put(metadata, :result, result))
    result
  end

  defp observe(name, labels, duration) do
    ns = System.convert_time_unit(duration, :native, :nanosecond)
    count([:bucket, name, labels, Enum.find(@buckets, &(ns <= &1)) || :infinity], 1)
    count([:sum, name, labels], ns)
  end

  defp count(key, number) do
    :ets.update_counter(@table, key, number, {key, 0})
    :ok
  rescue
    # The application is not started: nobody counts.
    ArgumentError -> :ok
  end

  @doc false
  # A chunk's file was sent, or given up.
  @spec served(integer(), non_neg_integer(), map()) :: :ok
  def served(started, bytes, metadata) do
    duration = System.monotonic_time() - started
    observe(:sendfile, [], duration)
    count([:events, [:sendfile, :bytes], []], bytes)
    execute([:sendfile, :serve], %{duration: duration, bytes: bytes}, metadata)
  end

  @doc false
  # Is it the first time that this is said? Of many different things, only the first are remembered.
  @spec once?(term()) :: boolean()
  def once?(cause) do
    :ets.info(@table, :size) < 100_000 and :ets.insert_new(@table, {[:once, cause], 1})
  rescue
    ArgumentError -> true
  end

  @doc false
  @spec counted() :: [{[term()], integer()}]
  def counted do
    :ets.tab2list(@table)
  rescue
    ArgumentError -> []
  end

  @doc false
  @spec buckets() :: [pos_integer()]
  def buckets, do: @buckets

  @doc "Tells now what routers have counted since this was last done."
  @spec poll() :: :ok
  def poll, do: Server.poll()
end
