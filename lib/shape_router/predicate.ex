defmodule ShapeRouter.Predicate do
  @moduledoc """
  A `WHERE` clause by itself: compiled once, asked of any number of records.

  The answer is PostgreSQL's: three-valued, exact, and an error where PostgreSQL raises one.

      iex> {:ok, predicate} = ShapeRouter.Predicate.compile("price < 10 AND name LIKE 'a%'", columns: [price: :numeric, name: :text])
      iex> ShapeRouter.Predicate.eval(predicate, %{price: "9.99", name: "apple"})
      true
      iex> ShapeRouter.Predicate.eval(predicate, %{"price" => nil, "name" => "apple"})
      nil
      iex> {:error, error} = ShapeRouter.Predicate.compile("price <", columns: [price: :numeric])
      iex> {error.code, error.sqlstate}
      {:syntax_error, "42601"}
  """

  alias ShapeRouter.{Columns, Error, Native, Options}

  @typedoc "A compiled clause."
  @type t :: reference()

  @doc """
  Compiles a clause.

  Options:

    * `:columns` - the table's columns, `[name: type]` or `[{"name", "type"}]`, their types as
      `t:ShapeRouter.column_type/0` has them; without it a column's type is fixed by the literal that
      it is compared with
    * `:params` - the values of `$1`, `$2` ... (default `[]`). A list stands for an array, a map for a
      JSON document
    * `:time_zone` - the session's TimeZone (default `"UTC"`)
  """
  @spec compile(String.t(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def compile(where, opts \\ []) when is_binary(where) do
    with {:ok, opts} <- Options.merge(opts, columns: nil, params: [], time_zone: "UTC"),
         {:ok, columns} <- Columns.normalize(opts.columns) do
      where
      |> Native.predicate_compile(columns, opts.params, opts.time_zone)
      |> Error.result()
    end
  end

  @doc "As `compile/2`, but raises the error."
  @spec compile!(String.t(), keyword()) :: t()
  def compile!(where, opts \\ []) do
    case compile(where, opts) do
      {:ok, predicate} -> predicate
      {:error, error} -> raise error
    end
  end

  @doc """
  Asks the clause of a record: a map with string or atom keys, values as the WAL's text or as Elixir
  terms (see "Values" in `ShapeRouter`). A value that cannot be read as its column's type is an error
  with the code `:unreadable_value`, where the answer needs it.

  A column that the record does not have is unknown: if the answer depends on it, the error's code is
  `:unknown_value`.
  """
  @spec eval(t(), map()) :: true | false | nil | {:error, Error.t()}
  def eval(predicate, record) do
    case Native.predicate_eval(predicate, record) do
      :heavy -> predicate |> Native.predicate_eval_heavy(record) |> Error.result()
      answer -> Error.result(answer)
    end
  end

  @doc "The names of the columns that the clause reads, in the table's order."
  @spec columns(t()) :: [String.t()]
  def columns(predicate), do: Native.predicate_columns(predicate)
end
