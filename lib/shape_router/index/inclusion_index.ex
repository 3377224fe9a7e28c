defmodule ShapeRouter.Index.InclusionIndex do
  @moduledoc """
  `column @> array`: a shape is filed under one of its array's elements, the one that has the fewest
  shapes when it comes, and found again by whichever record's array has that element and the others.

      iex> alias ShapeRouter.Index.{InclusionIndex, Protocol}
      iex> index = InclusionIndex.new({:array, :text}) |> Protocol.add_shape(["a", "b"], 1, nil)
      iex> Protocol.affected_shapes(index, "tags", %{"tags" => "{b,c,a}"}, %{})
      MapSet.new([1])
      iex> Protocol.affected_shapes(index, "tags", %{"tags" => ["b", "c"]}, %{})
      MapSet.new([])

  Arrays may have any number of dimensions, which containment does not look at. The empty array is
  contained in every array that is not NULL; an array with a NULL in none.
  """

  alias ShapeRouter.Index.{Residual, ValueType}

  @enforce_keys [:type, :value_type]
  defstruct [:type, :value_type, elements: %{}, everything: %{}, never: %{}]

  @typep filed :: %{{[ValueType.key()], term(), term()} => []}
  @type t :: %__MODULE__{
          type: ShapeRouter.column_type(),
          value_type: ValueType.t(),
          elements: %{ValueType.key() => filed()},
          everything: filed(),
          never: filed()
        }

  @doc "An empty index over a column of this array type, `{:array, :int4}` or `\"int4[]\"`."
  @spec new(ShapeRouter.column_type()) :: t()
  def new(type), do: %__MODULE__{type: type, value_type: ValueType.array!(type)}

  defimpl ShapeRouter.Index.Protocol do
    def empty?(index),
      do: index.elements == %{} and index.everything == %{} and index.never == %{}

    def add_shape(index, value, shape_id, and_where) do
      case ValueType.element_keys!(index.value_type, value) do
        {:has_null, _keys} ->
          %{index | never: Map.put(index.never, {[], shape_id, and_where}, [])}

        [] ->
          %{index | everything: Map.put(index.everything, {[], shape_id, and_where}, [])}

        keys ->
          one = {keys, shape_id, and_where}

          if filed_under(index, one) do
            index
          else
            rarest = Enum.min_by(keys, &map_size(Map.get(index.elements, &1, %{})))
            elements = Map.update(index.elements, rarest, %{one => []}, &Map.put(&1, one, []))
            %{index | elements: elements}
          end
      end
    end

    def remove_shape(index, value, shape_id, and_where) do
      case ValueType.element_keys!(index.value_type, value) do
        {:has_null, _keys} ->
          %{index | never: Map.delete(index.never, {[], shape_id, and_where})}

        [] ->
          %{index | everything: Map.delete(index.everything, {[], shape_id, and_where})}

        keys ->
          one = {keys, shape_id, and_where}

          case filed_under(index, one) do
            nil -> index
            key -> %{index | elements: without(index.elements, key, one)}
          end
      end
    end

    defp filed_under(index, {keys, _id, _and_where} = one) do
      Enum.find(keys, fn key ->
        case index.elements do
          %{^key => %{^one => []}} -> true
          _ -> false
        end
      end)
    end

    defp without(elements, key, one) do
      case Map.delete(elements[key], one) do
        left when left == %{} -> Map.delete(elements, key)
        left -> %{elements | key => left}
      end
    end

    def affected_shapes(index, field, record, shapes) do
      case ValueType.element_keys(index.value_type, ValueType.field(record, field)) do
        {:ok, nil} -> MapSet.new()
        {:ok, {:has_null, keys}} -> found(index, keys, record, shapes)
        {:ok, keys} -> found(index, keys, record, shapes)
        {:error, _unreadable} -> all_shape_ids(index)
      end
    end

    defp found(index, keys, record, shapes) do
      present = Map.new(keys, &{&1, []})
      candidates = [index.everything | for(key <- keys, do: Map.get(index.elements, key, %{}))]

      for filed <- candidates,
          {{wanted, id, and_where}, []} <- filed,
          Enum.all?(wanted, &is_map_key(present, &1)),
          Residual.holds?(and_where, id, record, shapes),
          into: MapSet.new(),
          do: id
    end

    def all_shape_ids(index) do
      for filed <- [index.everything, index.never | Map.values(index.elements)],
          {{_keys, id, _and_where}, []} <- filed,
          into: MapSet.new(),
          do: id
    end
  end
end
