export default function Build() {
  return <div class="page" />;
}
