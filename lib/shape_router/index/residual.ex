defmodule ShapeRouter.Index.Residual do
  @moduledoc false
  # The rest of a shape's clause, asked of a record that its index has found it for.

  alias ShapeRouter.Predicate

  @doc "May the shape have the record? Only an answer that is false or NULL says no."
  @spec holds?(term(), term(), map(), map()) :: boolean()
  def holds?(nil, _shape_id, _record, _shapes), do: true

  def holds?(predicate, _shape_id, record, _shapes) when is_reference(predicate),
    do: true?(Predicate.eval(predicate, record))

  def holds?(function, _shape_id, record, _shapes) when is_function(function, 1),
    do: true?(function.(record))

  def holds?(_other, shape_id, record, shapes) do
    case shapes do
      %{^shape_id => clause} when is_reference(clause) or is_function(clause, 1) ->
        holds?(clause, shape_id, record, shapes)

      _ ->
        true
    end
  end

  defp true?(false), do: false
  defp true?(nil), do: false
  defp true?(_true_or_error), do: true
end
