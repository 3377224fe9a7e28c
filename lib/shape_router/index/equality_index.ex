defmodule ShapeRouter.Index.EqualityIndex do
  @moduledoc """
  `column = value`: a map from values to the shapes filed under them.

      iex> alias ShapeRouter.Index.{EqualityIndex, Protocol}
      iex> index = EqualityIndex.new(:int4) |> Protocol.add_shape(5, :five, nil) |> Protocol.add_shape(6, :six, nil)
      iex> Protocol.affected_shapes(index, "user_id", %{"user_id" => "5"}, %{})
      MapSet.new([:five])

  An index that has more than so many values moves to `ShapeRouter.Index.LsmEqualityIndex` by itself:
  the struct that `add_shape/4` gives then is one of that module, which only the newest may be used of.
  How many is `config :shape_router, lsm_above: 100_000`, read by `new/1`; `0` is at once, `:infinity`
  never.
  """

  alias ShapeRouter.Error
  alias ShapeRouter.Index.{LsmEqualityIndex, Residual, ValueType}

  @lsm_above 100_000

  @enforce_keys [:type, :value_type, :lsm_above]
  defstruct [:type, :value_type, :lsm_above, values: %{}]

  @type t :: %__MODULE__{
          type: ShapeRouter.column_type(),
          value_type: ValueType.t(),
          lsm_above: non_neg_integer() | :infinity,
          values: %{ValueType.key() => %{{term(), term()} => []}}
        }

  @doc "An empty index over a column of this type. Raises `ShapeRouter.Error` if there is no such type."
  @spec new(ShapeRouter.column_type()) :: t()
  def new(type),
    do: %__MODULE__{type: type, value_type: ValueType.new!(type), lsm_above: lsm_above!()}

  defp lsm_above! do
    case Application.get_env(:shape_router, :lsm_above, @lsm_above) do
      :infinity ->
        :infinity

      count when is_integer(count) and count >= 0 ->
        count

      other ->
        message =
          "config :shape_router, lsm_above: is a count or :infinity, not #{inspect(other)}"

        raise %Error{code: :invalid_argument, message: message}
    end
  end

  @doc false
  @spec outgrown(t()) :: t() | LsmEqualityIndex.t()
  # Any number is less than an atom.
  def outgrown(%__MODULE__{values: values, lsm_above: most} = index)
      when map_size(values) > most do
    filed = for {key, filed} <- values, {{id, and_where}, []} <- filed, do: {key, id, and_where}
    LsmEqualityIndex.filled(index.type, filed)
  end

  def outgrown(index), do: index

  defimpl ShapeRouter.Index.Protocol do
    def empty?(index), do: index.values == %{}

    def add_shape(index, value, shape_id, and_where) do
      key = ValueType.key!(index.value_type, value)
      one = {shape_id, and_where}
      values = Map.update(index.values, key, %{one => []}, &Map.put(&1, one, []))
      ShapeRouter.Index.EqualityIndex.outgrown(%{index | values: values})
    end

    def remove_shape(index, value, shape_id, and_where) do
      key = ValueType.key!(index.value_type, value)

      case index.values do
        %{^key => filed} ->
          case Map.delete(filed, {shape_id, and_where}) do
            left when left == %{} -> %{index | values: Map.delete(index.values, key)}
            left -> %{index | values: %{index.values | key => left}}
          end

        _ ->
          index
      end
    end

    def affected_shapes(index, field, record, shapes) do
      case ValueType.key(index.value_type, ValueType.field(record, field)) do
        {:ok, nil} ->
          MapSet.new()

        {:ok, key} ->
          for {{id, and_where}, []} <- Map.get(index.values, key, %{}),
              Residual.holds?(and_where, id, record, shapes),
              into: MapSet.new(),
              do: id

        {:error, _unreadable} ->
          all_shape_ids(index)
      end
    end

    def all_shape_ids(index) do
      for {_key, filed} <- index.values, {{id, _}, []} <- filed, into: MapSet.new(), do: id
    end
  end
end
