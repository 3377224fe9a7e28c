defmodule ShapeRouter.Index.ValueType do
  @moduledoc false
  # The type of an index's values: what PostgreSQL holds for equal has the same key.

  alias ShapeRouter.{Columns, Error, Native}

  @opaque t :: reference()
  @type key :: binary()

  @spec new!(ShapeRouter.column_type()) :: t()
  def new!(type) do
    with {:ok, columns} <- Columns.normalize([{"value", type}]),
         {:ok, value_type} <- columns |> Native.value_type_new() |> Error.result() do
      value_type
    else
      {:error, error} -> raise error
    end
  end

  @doc "As `new!/1`, for the types of arrays only."
  @spec array!(ShapeRouter.column_type()) :: t()
  def array!(type) do
    array = new!(type)
    if Native.value_type_is_array(array), do: array, else: raise(no_array(type))
  end

  defp no_array(type) do
    message = "an inclusion index is over an array type, not #{inspect(type)}"
    %Error{code: :invalid_argument, message: message}
  end

  @doc "The key of a value; nil for NULL."
  @spec key(t(), term()) :: {:ok, key() | nil} | {:error, Error.t()}
  def key(type, value), do: type |> Native.value_key(value) |> Error.result()

  @doc """
  The keys of an array's elements, each once, sorted; nil for NULL. Of an array that has a NULL among
  its elements, `{:has_null, keys of the others}`.
  """
  @spec element_keys(t(), term()) ::
          {:ok, [key()] | {:has_null, [key()]} | nil} | {:error, Error.t()}
  def element_keys(type, value), do: type |> Native.value_element_keys(value) |> Error.result()

  @doc "The key of a value that a shape is filed under."
  @spec key!(t(), term()) :: key()
  def key!(type, value) do
    case key(type, value) do
      {:ok, nil} -> raise null()
      {:ok, key} -> key
      {:error, error} -> raise named(error, value)
    end
  end

  @spec element_keys!(t(), term()) :: [key()] | {:has_null, [key()]}
  def element_keys!(type, value) do
    case element_keys(type, value) do
      {:ok, nil} -> raise null()
      {:ok, keys} -> keys
      {:error, error} -> raise named(error, value)
    end
  end

  defp null do
    message = "NULL equals nothing: no shape is filed under it"
    %Error{code: :invalid_argument, message: message}
  end

  defp named(error, value), do: %{error | message: "#{inspect(value)}: #{error.message}"}

  @doc "A record's value of a field; nil where it has none."
  @spec field(map(), String.t() | atom()) :: term()
  def field(record, field) do
    case record do
      %{^field => value} -> value
      _ -> Map.get(record, other_form(field))
    end
  end

  defp other_form(field) when is_atom(field), do: Atom.to_string(field)

  defp other_form(field) do
    String.to_existing_atom(field)
  rescue
    ArgumentError -> nil
  end
end
