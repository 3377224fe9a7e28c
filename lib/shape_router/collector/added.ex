defmodule ShapeRouter.Collector.Added do
  @moduledoc false
  # Shapes that are to be added, as they are asked for -> as logs and routers take them.

  alias ShapeRouter.Collector.{Directory, LogStore, Tables, Views}
  alias ShapeRouter.Error

  # So many files of rows are open at once, and made durable together.
  @together 200

  @enforce_keys [:id, :table, :stored, :rows, :opts]
  defstruct [:id, :table, :stored, :rows, :opts, view?: false]

  @type t :: %__MODULE__{
          id: ShapeRouter.id(),
          table: Tables.t(),
          stored: LogStore.stored(),
          rows: Enumerable.t() | nil,
          opts: keyword(),
          view?: boolean()
        }

  @doc "Checks what needs no router; ids must be free, and each come once."
  @spec read([tuple()], %{Tables.name() => Tables.t()}, :ets.table()) ::
          {:ok, [t()]} | {:error, Error.t()}
  def read(shapes, tables, directory) do
    Enum.reduce_while(shapes, {:ok, [], MapSet.new()}, fn shape, {:ok, done, ids} ->
      with {:ok, id, table, where, opts} <- parts(shape),
           :ok <- free(directory, ids, id),
           {:ok, table} <- table(tables, table),
           {:ok, subquery?} <- Views.subquery?(where),
           shape = new(id, table, where, opts),
           {:ok, shape} <- if(subquery?, do: view(shape), else: {:ok, shape}) do
        {:cont, {:ok, [shape | done], MapSet.put(ids, id)}}
      else
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
    |> case do
      {:ok, reversed, _ids} -> {:ok, Enum.reverse(reversed)}
      error -> error
    end
  end

  defp parts({id, shape}), do: parts({id, shape, []})

  defp parts({id, {table, where}, opts})
       when is_integer(id) and id in 0..0xFFFFFFFFFFFFFFFF and (is_binary(where) or is_nil(where)) and
              is_list(opts),
       do: {:ok, id, table, where, opts}

  defp parts(other),
    do: Error.argument("not a shape of the form {id, {table, where}, opts}: #{inspect(other)}")

  defp new(id, table, where, opts) do
    {descriptor, opts} = Keyword.pop(opts, :descriptor)
    {rows, opts} = Keyword.pop(opts, :rows)
    # Never given twice: of a shape that is added again it is another log.
    unique = Base.url_encode64(:crypto.strong_rand_bytes(9), padding: false)

    stored = %{
      table: table.name,
      where: where,
      handle: "#{id}-#{unique}",
      descriptor: descriptor
    }

    %__MODULE__{id: id, table: table, stored: stored, rows: rows, opts: opts}
  end

  # Its rows are those of the circuit.
  defp view(shape) do
    {params, rest} = Keyword.pop(shape.opts, :params, [])

    if rest == [] and shape.rows == nil do
      {:ok, %{shape | view?: true, stored: Map.put(shape.stored, :view, %{params: params})}}
    else
      names = Keyword.keys(rest) ++ if(shape.rows, do: [:rows], else: [])

      Error.argument(
        "shape #{shape.id} has a subquery: the collector knows its rows, and takes no #{inspect(names)}"
      )
    end
  end

  @doc "Those that are views, as `ShapeRouter.Collector.Views` takes them."
  @spec views([t()]) :: [tuple()]
  def views(shapes) do
    for %{view?: true} = shape <- shapes,
        do: {shape.id, shape.table.name, shape.stored.where, shape.stored.view.params}
  end

  @doc "With the rows that the views hold."
  @spec put_rows([t()], %{ShapeRouter.id() => [map()]}) :: [t()]
  def put_rows(shapes, rows),
    do: Enum.map(shapes, &if(&1.view?, do: %{&1 | rows: Map.fetch!(rows, &1.id)}, else: &1))

  @doc "Writes the rows of those that have some (without a store, nowhere); what they hold is known then."
  @spec write_rows(LogStore.t() | nil, [t()]) :: {:ok, [t()]} | {:error, Error.t()}
  def write_rows(store, shapes) do
    shapes
    |> Enum.chunk_every(@together)
    |> Enum.reduce_while({:ok, []}, fn some, {:ok, done} ->
      with {:ok, done, writers} <- write_some(store, some, done),
           :ok <- LogStore.end_rows(store, writers) do
        {:cont, {:ok, done}}
      else
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
    |> case do
      {:ok, reversed} -> {:ok, Enum.reverse(reversed)}
      error -> error
    end
  end

  defp write_some(store, shapes, done) do
    Enum.reduce_while(shapes, {:ok, done, []}, fn shape, {:ok, done, writers} ->
      case held(store, shape) do
        :unknown -> {:cont, {:ok, [shape | done], writers}}
        {:ok, keys} -> {:cont, {:ok, [put_keys(shape, keys) | done], writers}}
        {:ok, writer, keys} -> {:cont, {:ok, [put_keys(shape, keys) | done], [writer | writers]}}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
  end

  defp held(_store, %{rows: nil}), do: :unknown
  defp held(nil, shape), do: {:ok, Enum.map(shape.rows, &key(shape.table, &1))}

  # The rows are gone through once: where they come from may not tell them twice the same.
  defp held(store, shape),
    do: LogStore.write_rows(store, shape.id, shape.table, shape.rows, &key(shape.table, &1))

  # A host may spare the memory that knowing them takes, or not be sure of them.
  defp put_keys(shape, keys) do
    if shape.opts[:keys] == :unknown,
      do: shape,
      else: %{shape | opts: Keyword.put(shape.opts, :keys, keys)}
  end

  @doc "Adds them to the routers of their tables: of a table all or none, of several the first ones."
  @spec to_routers([t()]) :: :ok | {:error, Error.t()}
  def to_routers(shapes) do
    shapes
    |> Enum.reject(& &1.view?)
    |> Enum.group_by(& &1.table)
    |> Enum.reduce_while([], fn {table, shapes}, done ->
      case ShapeRouter.add_shapes(
             table.router,
             Enum.map(shapes, &{&1.id, &1.stored.where, &1.opts})
           ) do
        :ok ->
          {:cont, shapes ++ done}

        {:error, error} ->
          for shape <- done, do: :ok = ShapeRouter.remove_shape(shape.table.router, shape.id)
          {:halt, {:error, error}}
      end
    end)
    |> case do
      {:error, error} -> {:error, error}
      _done -> :ok
    end
  end

  defp key(%{primary_key: [column]}, row), do: column(row, column)
  defp key(%{primary_key: columns}, row), do: Enum.map(columns, &column(row, &1))

  defp column(row, name) do
    case row do
      %{^name => value} -> value
      _ -> Enum.find_value(row, fn {key, value} -> if to_string(key) == name, do: value end)
    end
  end

  defp free(directory, ids, id) do
    with :ok <- not_own(id), do: free_id(directory, ids, id)
  end

  defp not_own(id) do
    if id >= LogStore.own_ids(),
      do: Error.argument("ids from #{LogStore.own_ids()} on are the collector's own: #{id}"),
      else: :ok
  end

  defp free_id(directory, ids, id) do
    if id in ids or Directory.get(directory, id) != :error,
      do: {:error, %Error{code: :duplicate_shape, message: "shape #{id} exists already"}},
      else: :ok
  end

  defp table(tables, table) do
    with nil <- tables[Tables.name(table)] do
      {:error, %Error{code: :unknown_table, message: "there is no table #{inspect(table)}"}}
    else
      table -> {:ok, table}
    end
  end
end
