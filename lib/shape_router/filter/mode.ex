defmodule ShapeRouter.Filter.Mode do
  @moduledoc false
  # What a mode of `ShapeRouter.Filter` does. Changes come taken apart, see `ShapeRouter.Filter`.

  @type state :: term()
  @type shape_id :: term()
  @type row :: map() | nil
  @type event ::
          {:row, ShapeRouter.Changes.relation(), :insert | :update | :delete, row(), row()}
          | {:truncate, ShapeRouter.Changes.relation()}
          | {:relation, map()}

  @callback new(keyword()) :: state()
  @callback add_shape(state(), shape_id(), shape :: map()) :: state()
  @doc "All of them or, where it raises, none."
  @callback add_shapes(state(), Enumerable.t({shape_id(), shape :: map()})) :: state()
  @callback remove_shape(state(), shape_id()) :: state()
  @callback affected(state(), event()) :: MapSet.t(shape_id())
  @doc "What a change that cannot be read concerns: everything of a table, or everything."
  @callback everything(state(), ShapeRouter.Changes.relation() | :all) :: MapSet.t(shape_id())
  @callback has_shape?(state(), shape_id()) :: boolean()
  @callback active_shapes(state()) :: [shape_id()]
  @callback get_shape(state(), shape_id()) :: map() | nil
  @callback subquery_index(state()) :: ShapeRouter.Filter.SubqueryIndex.t()
end
