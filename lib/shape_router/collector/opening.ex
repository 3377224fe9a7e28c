defmodule ShapeRouter.Collector.Opening do
  @moduledoc false
  # A directory -> logs, routers and views that stand at one transaction, and the shapes that have all of it.

  require Logger

  alias ShapeRouter.Collector.{Directory, LogStore, Tables, Views}
  alias ShapeRouter.{Error, ShapeLog}

  # How long a directory may be held by whoever had it before.
  @unlock_tries 50
  @unlock_ms 100

  @typedoc "Without a directory there is no store."
  @type opened :: {LogStore.t() | nil, %{Tables.name() => Tables.t()}, Views.t()}

  @doc "Opens what the options say, and enters the shapes that are there into the directory."
  @spec open(map(), :ets.table()) :: {:ok, opened()} | {:error, Error.t()}
  def open(opts, shapes) do
    with {:ok, store, tables} <- open_tables(opts, @unlock_tries),
         {:ok, tables, views} <- restore(store, tables, shapes, opts) do
      {:ok, {store, tables, views}}
    end
  end

  @doc "A shape, as those who read find it."
  @spec shape(ShapeRouter.id(), LogStore.stored(), Tables.t(), LogStore.t() | nil) ::
          Directory.shape()
  def shape(id, stored, table, store) do
    stored
    |> Map.delete(:view)
    |> Map.merge(%{id: id, schema: table.schema})
    |> Map.put(:log, store && ShapeLog.of_store(store, id, stored.handle))
  end

  @doc "Tells whoever looks after the service."
  @spec log_dropped(ShapeRouter.id(), Error.t()) :: :ok
  def log_dropped(id, error) do
    Logger.error("shape #{id} is removed, and clients begin anew: #{Exception.message(error)}")
  end

  # The directory of a collector that was killed is given back a moment later; whoever restarts it does so
  # at once.
  defp open_tables(opts, tries) do
    with {:ok, store, records} <- open_store(opts) do
      case Tables.open(opts.tables, opts.tenant, store && {opts.storage_dir, store}, records) do
        {:ok, tables} ->
          {:ok, store, tables}

        {:error, error} ->
          if store, do: LogStore.close(store)
          {:error, error}
      end
    end
    |> case do
      {:error, %Error{code: :locked}} when tries > 0 ->
        Process.sleep(@unlock_ms)
        open_tables(opts, tries - 1)

      result ->
        result
    end
  end

  defp open_store(%{storage_dir: nil}), do: {:ok, nil, []}
  defp open_store(opts), do: LogStore.open(opts)

  defp restore(nil, tables, _shapes, opts),
    do: {:ok, tables, Views.new(opts.tables, tables, nil, opts.load_rows)}

  defp restore(store, tables, shapes, opts) do
    with {:ok, all, begun} <- LogStore.logs(store),
         :ok <- known_tables(all, tables),
         {own, all} = Enum.split_with(all, fn {_, stored} -> is_map_key(stored, :circuit) end),
         {viewed, logs} = Enum.split_with(all, fn {_, stored} -> is_map_key(stored, :view) end),
         tables = reconcile(store, tables, logs, begun),
         views = Views.new(opts.tables, tables, store, opts.load_rows),
         {:ok, views, dropped} <- Views.restore(views, own, viewed) do
      live =
        for {_, table} <- tables,
            id <- ShapeRouter.shapes(table.router),
            into: MapSet.new(),
            do: id

      for {id, stored} <- logs ++ viewed, id in live or Views.has?(views, id) do
        Directory.put(shapes, shape(id, stored, tables[stored.table], store))
      end

      for {id, error} <- dropped do
        log_dropped(id, error)
        :ok = LogStore.remove(store, id)
      end

      # What it does not need any more is gone for good.
      if own != [] or dropped != [], do: :ok = LogStore.keep(store, [])
      {:ok, tables, views}
    end
  end

  defp known_tables(logs, tables) do
    case Enum.find(logs, fn {_, stored} -> not is_map_key(tables, stored.table) end) do
      nil ->
        :ok

      {id, stored} ->
        message = "shape #{id} is of #{Tables.text(stored.table)}, which is not among the tables"
        {:error, %Error{code: :mismatch, message: message}}
    end
  end

  # A crash came between a log and its shape: nobody was told of the two.
  defp reconcile(store, tables, logs, begun) do
    logs = MapSet.new(logs, &elem(&1, 0))
    routed = for {_, table} <- tables, id <- ShapeRouter.shapes(table.router), do: {id, table}
    live = MapSet.new(routed, &elem(&1, 0))
    without_shape = begun ++ Enum.reject(logs, &(&1 in live))
    Enum.each(without_shape, fn id -> :ok = LogStore.remove(store, id) end)

    without_log =
      for {id, table} <- routed,
          id not in logs,
          do: :ok = ShapeRouter.remove_shape(table.router, id)

    if without_shape == [] and without_log == [] do
      tables
    else
      records = Tables.records(tables)
      :ok = LogStore.keep(store, records)
      Tables.release(tables, records)
    end
  end
end
