defmodule ShapeRouter.ViewUpdate do
  @moduledoc """
  What a step, or its registration, did to a view of a `ShapeRouter.Circuit`.

    * `view_id` - as it was registered
    * `format` - `:flat`, `:tree` or `:streaming`
    * `hash` - the content's hash, 32 hexadecimal digits: equal for the same content however it came
      about, another one for another content. `nil` where no rows are kept
    * `ids` - the ids of *all* rows of the view after the step, sorted, of a view that has no more rows
      than its option `ids:` says (256 if nothing is said); `nil` for larger ones, which
      `ShapeRouter.Circuit.ids/2` answers for, and for streaming views. So a step costs what it changes,
      and not what is there
    * `records` - the rows that changed, by id: each is once in it, `:created`, `:updated` or `:deleted`,
      with the row as it is now; of a deleted one, as it was. In a row of a tree each branch has, by its
      name, such records of the rows that hang on it: of a row that was created all of them, of one that
      was updated those that changed, of one that was deleted none, as all of them went with it. A row
      that changed only below is updated with the values that it had
  """

  @enforce_keys [:view_id, :format]
  defstruct [:view_id, :format, :hash, :ids, records: []]

  @typedoc "A value of a key of one column, or the values of one of several."
  @type id :: term() | [term()]

  @typedoc "A row by the names of its columns. What they hold is in \"Values\" of `ShapeRouter.Circuit`."
  @type row :: %{String.t() => value() | [record()] | [{id(), row()}]}
  @type value :: integer() | float() | boolean() | String.t() | nil

  @type record :: %{event: :created | :updated | :deleted, id: id(), record: row()}

  @type t :: %__MODULE__{
          view_id: ShapeRouter.Circuit.view_id(),
          format: ShapeRouter.Circuit.format(),
          hash: String.t() | nil,
          ids: [id()] | nil,
          records: [record()]
        }
end
