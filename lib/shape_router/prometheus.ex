defmodule ShapeRouter.Prometheus do
  @moduledoc """
  The figures of `ShapeRouter.Telemetry`, and of the routers that it watches, as Prometheus reads them.

      iex> ShapeRouter.Prometheus.metrics() |> String.split("\\n") |> hd()
      "# HELP shape_router_shapes Shapes in the router."

  Give the text as the answer to `GET /metrics`, with `content_type/0`. Nothing is kept running for it:
  the routers are asked when the text is made. `docs/operations.md` says what each metric means, and has
  example alert rules.
  """

  alias ShapeRouter.Telemetry
  alias ShapeRouter.Telemetry.Server

  # Of a router's own metrics: its name there, the kind, what it says.
  @router [
    {"shapes", "shapes", :gauge, "Shapes in the router."},
    {"scan_shapes", "scan_shapes", :gauge, "Shapes that no index can hold."},
    {"templates", "templates", :gauge, "Programs that the shapes share."},
    {"membership_keys", "membership_keys", :gauge, "Keys in the membership."},
    {"staged_transactions", "staged_transactions", :gauge,
     "Transactions routed and not acknowledged."},
    {"memory_bytes", "memory_bytes", :gauge, "Bytes that the router accounts for."},
    {"changes", "changes_total", :counter, "Changes routed."},
    {"changes_with_candidates", "changes_with_candidates_total", :counter,
     "Changes for which an index named a candidate."},
    {"changes_with_matches", "changes_with_matches_total", :counter,
     "Changes that belonged to some shape."},
    {"candidates", "candidates_total", :counter, "Shapes that were looked at."},
    {"matches", "matches_total", :counter, "Shapes that a change belonged to."},
    {"eval_errors", "eval_errors_total", :counter,
     "Clauses that raised, and values that could not be read."},
    {"unknown_answers", "unknown_answers_total", :counter,
     "Answers that depend on what the change leaves out."},
    {"continuations", "continuations_total", :counter, "Calls that were cut by the work budget."}
  ]

  @events [
    {[:filter, :compared], "filter_compared_total", "Answers that the shadow compared."},
    {[:filter, :difference], "filter_differences_total",
     "Shapes in which the compared answers differed."},
    {[:filter, :failed], "filter_failed_total", "Failures of the filter in the shadow."},
    {[:filter, :refused], "filter_refused_total", "Shapes whose clause was refused."},
    {[:filter, :unreadable], "filter_unreadable_total", "Changes that could not be read."},
    {[:eval, :error], "beam_eval_errors_total",
     "Clauses that raised in the filter's mode :beam."},
    {[:operation_cache, :hit], "operation_cache_hits_total",
     "Reads that were answered from memory."},
    {[:operation_cache, :miss], "operation_cache_misses_total",
     "Reads that were answered from the log."},
    {[:operation_cache, :evict], "operation_cache_evictions_total",
     "Operations that left a cache."},
    {[:sendfile, :serve], "sendfile_total", "Sealed chunks that were handed out as files."},
    {[:sendfile, :bytes], "sendfile_bytes_total", "Bytes of those files."},
    {[:sendfile, :fallback], "sendfile_fallbacks_total", "Reads that could not be a file."},
    {[:chunk, :seal], "chunks_sealed_total", "Chunks that were sealed."},
    {[:chunk, :seal_failed], "chunk_seal_failures_total",
     "Attempts to seal a chunk that failed, and are tried again."},
    {[:circuit, :refused], "circuit_refused_total",
     "Steps and views that a circuit refused, by the error's code."},
    {[:limit, :reached], "limit_reached_total", "Additions that a tenant's limit refused."}
  ]

  @histograms [
    {:route, "route_duration_seconds", "What a call took, of one in 64."},
    {:sendfile, "sendfile_duration_seconds",
     "How long a sealed chunk's file was held to be sent."},
    {:circuit_step, "circuit_step_duration_seconds", "What a circuit's step took, of one in 64."},
    {:rebuild, "rebuild_duration_seconds", "What a rebuild took."}
  ]

  @doc "The content type of the text."
  @spec content_type() :: String.t()
  def content_type, do: "text/plain; version=0.0.4; charset=utf-8"

  @doc """
  The text. Options:

    * `:labels` - by what the routers are told apart (default `[:tenant, :table]`). With thousands of
      tenants, `[:table]` or `[]` keeps the number of series small: the figures are then added up
  """
  @spec metrics(labels: [:tenant | :table]) :: String.t()
  def metrics(opts \\ []) do
    kept = Keyword.get(opts, :labels, [:tenant, :table])
    counted = Telemetry.counted()

    [routers(kept), events(counted), histograms(counted), tenants()]
    |> IO.iodata_to_binary()
  end

  defp routers(kept) do
    figures =
      Enum.reduce(Server.watched(), %{}, fn {router, labels}, sums ->
        labels = for name <- kept, value = labels[name], do: {name, value}
        Map.update(sums, labels, ShapeRouter.metrics(router), &added(&1, router))
      end)

    for {key, name, kind, help} <- @router do
      family(name, kind, help, for({labels, metrics} <- figures, do: {"", labels, metrics[key]}))
    end
  end

  defp added(sums, router) do
    Map.merge(sums, ShapeRouter.metrics(router), fn _name, one, other -> one + other end)
  end

  defp events(counted) do
    for {event, name, help} <- @events do
      samples = for {[:events, ^event, labels], count} <- counted, do: {"", labels, count}
      family(name, :counter, help, samples)
    end
  end

  defp histograms(counted) do
    for {name, exposed, help} <- @histograms do
      sums = for {[:sum, ^name, labels], ns} <- counted, do: {labels, ns}

      samples =
        for {labels, sum} <- sums, sample <- histogram(name, labels, sum, counted), do: sample

      family(exposed, :histogram, help, samples)
    end
  end

  defp histogram(name, labels, sum, counted) do
    found = for {[:bucket, ^name, ^labels, top], count} <- counted, into: %{}, do: {top, count}

    {buckets, total} =
      Enum.map_reduce(Telemetry.buckets() ++ [:infinity], 0, fn top, below ->
        count = below + Map.get(found, top, 0)
        {{"_bucket", labels ++ [le: seconds(top)], count}, count}
      end)

    buckets ++ [{"_sum", labels, sum / 1_000_000_000}, {"_count", labels, total}]
  end

  defp seconds(:infinity), do: "+Inf"
  defp seconds(ns), do: number(ns / 1_000_000_000)

  defp tenants do
    count = length(ShapeRouter.Registry.tenants())
    family("tenants", :gauge, "Tenants of the registry.", [{"", [], count}])
  end

  defp family(name, kind, help, samples) do
    name = "shape_router_" <> name

    [
      ["# HELP ", name, " ", help, "\n# TYPE ", name, " ", Atom.to_string(kind), "\n"]
      | for {suffix, labels, value} <- samples do
          [name, suffix, labels(labels), " ", number(value), "\n"]
        end
    ]
  end

  defp labels([]), do: []

  defp labels(labels) do
    pairs = for {name, value} <- labels, do: [Atom.to_string(name), "=\"", escaped(value), "\""]
    ["{", Enum.intersperse(pairs, ","), "}"]
  end

  # A tenant's name is any text: what is no UTF-8 would make the whole answer unreadable.
  defp escaped(value) do
    value
    |> to_string()
    |> valid()
    |> String.replace("\\", "\\\\")
    |> String.replace("\"", "\\\"")
    |> String.replace("\n", "\\n")
  end

  defp valid(text) do
    if String.valid?(text),
      do: text,
      else:
        for(<<byte <- text>>,
          into: "",
          do: if(byte < 128, do: <<byte>>, else: "\\x" <> Base.encode16(<<byte>>))
        )
  end

  defp number(value) when is_integer(value), do: Integer.to_string(value)
  defp number(value) when is_float(value), do: Float.to_string(value)
end
