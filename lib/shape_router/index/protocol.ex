defprotocol ShapeRouter.Index.Protocol do
  @moduledoc """
  What an index over one column of a table can do: shapes are filed under a value, and a record's
  value finds them again.

  `ShapeRouter.Index.EqualityIndex` and `ShapeRouter.Index.InclusionIndex` are maps;
  `ShapeRouter.Index.LsmEqualityIndex` holds millions of values in a fraction of the memory, and on
  disk if asked to.

      iex> alias ShapeRouter.Index.{EqualityIndex, Protocol}
      iex> index = EqualityIndex.new(:numeric) |> Protocol.add_shape("1.5", "shape-1", nil)
      iex> Protocol.affected_shapes(index, "price", %{"price" => "1.50"}, %{})
      MapSet.new(["shape-1"])

  Values are the WAL's text or Elixir terms, as in records; two are the same if PostgreSQL's `=` of the
  index's type says so. `nil` (NULL) equals nothing, so nothing can be filed under it.

  A shape is filed together with its `and_where`, the rest of its clause: `nil` if there is none, a
  `t:ShapeRouter.Predicate.t/0`, a function of the record that returns true, false or nil, or anything
  else that stands for the shape's clause in `shapes`, the last argument of `affected_shapes/4`: a map
  from shape ids to such predicates or functions. What cannot be evaluated does not hide a shape: it is
  affected.

  The functions raise `ShapeRouter.Error` where a value is none of the index's type.
  """

  @typedoc "Any term."
  @type shape_id :: term()
  @type and_where ::
          nil | ShapeRouter.Predicate.t() | (map() -> true | false | nil) | term()

  @doc "Is no shape filed?"
  @spec empty?(t()) :: boolean()
  def empty?(index)

  @doc "Files a shape under a value. Filing it twice in the same way is filing it once."
  @spec add_shape(t(), term(), shape_id(), and_where()) :: t()
  def add_shape(index, value, shape_id, and_where)

  @doc "Takes back what `add_shape/4` did with the same arguments; otherwise nothing happens."
  @spec remove_shape(t(), term(), shape_id(), and_where()) :: t()
  def remove_shape(index, value, shape_id, and_where)

  @doc """
  The shapes to which a record belongs as far as this index has them: those filed under the value of
  its `field` whose `and_where` is true. A field that the record does not have is NULL. A value that
  is none of the index's type concerns all its shapes.
  """
  @spec affected_shapes(t(), String.t() | atom(), map(), map()) :: MapSet.t(shape_id())
  def affected_shapes(index, field, record, shapes)

  @doc "All shapes that are filed."
  @spec all_shape_ids(t()) :: MapSet.t(shape_id())
  def all_shape_ids(index)
end
